//! What waits in a lane: the events of one [`submit`](crate::Log::submit), each on its own way, and their results,
//! which go out together when the last one is known.

use std::sync::{Arc, Mutex, PoisonError};

use shared::{Event, fields};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use crate::{AppendError, Appended, Durability, IdempotencyKey};

/// The result of one event.
pub(super) type Outcome = Result<Appended, AppendError>;

/// The results of one `submit`. They are sent when the last [`Item`] has let go of it.
struct Job {
    results: Mutex<Vec<Outcome>>,
    reply: Option<oneshot::Sender<Vec<Outcome>>>,
    /// The places in the queues; free again when everything is settled.
    _room: Vec<Room>,
}

/// Places in a lane's queue, by number and by bytes.
pub(super) struct Room {
    pub(super) _entries: OwnedSemaphorePermit,
    pub(super) _bytes: OwnedSemaphorePermit,
}

impl Drop for Job {
    fn drop(&mut self) {
        let results = self.results.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(reply) = self.reply.take() {
            // Nobody waits any more if the receipt was dropped.
            let _ = reply.send(std::mem::take(results));
        }
    }
}

/// One event on its way to Redis.
pub(super) struct Item {
    /// The key under which it is appended only once.
    pub(super) key: Option<IdempotencyKey>,
    /// How safe it must be before it is acknowledged.
    pub(super) durability: Durability,
    /// When the caller stops waiting.
    pub(super) deadline: Instant,
    /// Whether it was sent and the answer was lost.
    pub(super) maybe_appended: bool,
    event: Event,
    slot: usize,
    job: Option<Arc<Job>>,
}

/// What a job begins with, one for each event, in order.
pub(super) enum Candidate {
    /// To be appended.
    Take(Event, Option<IdempotencyKey>, Durability),
    /// Refused already.
    Refuse(AppendError),
}

/// Makes the items of one `submit`; those refused have their result already.
pub(super) fn items(
    candidates: Vec<Candidate>,
    deadline: Instant,
    reply: oneshot::Sender<Vec<Outcome>>,
    room: Vec<Room>,
) -> Vec<Item> {
    let refusal = |candidate: &Candidate| match candidate {
        // Overwritten when the item is settled, which each is.
        Candidate::Take(..) => Err(AppendError::Unconfirmed),
        Candidate::Refuse(error) => Err(error.clone()),
    };
    let job = Arc::new(Job {
        results: Mutex::new(candidates.iter().map(refusal).collect()),
        reply: Some(reply),
        _room: room,
    });
    let item = |(slot, candidate)| match candidate {
        Candidate::Take(event, key, durability) => Some(Item {
            key,
            durability,
            deadline,
            maybe_appended: false,
            event,
            slot,
            job: Some(Arc::clone(&job)),
        }),
        Candidate::Refuse(_) => None,
    };
    candidates.into_iter().enumerate().filter_map(item).collect()
}

impl Item {
    /// Gives the result; only the first one counts.
    pub(super) fn settle(&mut self, outcome: Outcome) {
        if let Some(job) = self.job.take() {
            let mut results = job.results.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(result) = results.get_mut(self.slot) {
                *result = outcome;
            }
        }
    }

    /// Whether the result has been given.
    pub(super) fn is_settled(&self) -> bool {
        self.job.is_none()
    }

    /// Bytes of the event.
    pub(super) fn size_bytes(&self) -> usize {
        self.event.size_bytes()
    }

    /// How many names and values [`each_field`](Self::each_field) passes on.
    pub(super) fn field_arguments(&self) -> usize {
        let mut arguments = 0;
        fields::encode(&self.event, |_, _| arguments += 2);
        arguments
    }

    /// Passes on the name and the value of each field of the event.
    pub(super) fn each_field(&self, mut field: impl FnMut(&[u8], &[u8])) {
        fields::encode(&self.event, |name, value| field(name.as_bytes(), value));
    }
}

#[cfg(test)]
pub(super) mod testing {
    //! Items for the tests of the modules that move them.

    use bytes::Bytes;
    use shared::Payload;
    use tokio::sync::Semaphore;

    use super::*;

    /// Where an item's result comes out.
    pub(in super::super) type Results = oneshot::Receiver<Vec<Outcome>>;

    /// Items of one job, each with a number as its data, keyed if `key` says so.
    pub(in super::super) fn numbered(
        numbers: impl IntoIterator<Item = u64>,
        keyed: bool,
        deadline: Instant,
    ) -> (Vec<Item>, Results) {
        let candidate = |n: u64| {
            let text = n.to_string();
            let key = keyed.then(|| text.parse().unwrap_or_else(|_| unreachable!("digits are a key")));
            Candidate::Take(
                Event::new(Payload::Json(Bytes::from(text))),
                key,
                Durability::Primary,
            )
        };
        let semaphore = Arc::new(Semaphore::new(2));
        let permit = || {
            Arc::clone(&semaphore)
                .try_acquire_owned()
                .unwrap_or_else(|_| unreachable!("there are two"))
        };
        let room = Room {
            _entries: permit(),
            _bytes: permit(),
        };
        let (reply, results) = oneshot::channel();
        let candidates = numbers.into_iter().map(candidate).collect();
        (items(candidates, deadline, reply, vec![room]), results)
    }

    /// The number that is an item's data.
    pub(in super::super) fn number(item: &Item) -> u64 {
        let text = String::from_utf8_lossy(item.event.data.raw()).into_owned();
        text.parse().unwrap_or(u64::MAX)
    }
}
