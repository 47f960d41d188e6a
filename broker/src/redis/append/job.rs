//! What waits in a lane: the events of one [`submit`](crate::Log::submit), each on its own way, and their results,
//! which go out together when the last one is known.

use std::sync::{Arc, Mutex, PoisonError};

use shared::{Event, fields};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use crate::{AppendError, Appended, Durability, IdempotencyKey, NewEvent};

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

/// Makes the items of one `submit`. `results` is what each event is told so far: [`AppendError::Unconfirmed`] if it is to be
/// appended, which is overwritten when its item is settled; anything else refuses it. Events that do not say how durable they are
/// to be are as `durability` says.
pub(super) fn items(
    events: Vec<NewEvent>,
    results: Vec<Outcome>,
    durability: Durability,
    deadline: Instant,
    reply: oneshot::Sender<Vec<Outcome>>,
    room: Vec<Room>,
) -> Vec<Item> {
    let item = |(slot, new): (usize, NewEvent)| {
        matches!(results[slot], Err(AppendError::Unconfirmed)).then(|| Item {
            key: new.key,
            durability: new.durability.unwrap_or(durability),
            deadline,
            maybe_appended: false,
            event: new.event,
            slot,
            job: None,
        })
    };
    let mut items: Vec<Item> = events.into_iter().enumerate().filter_map(item).collect();
    let job = Arc::new(Job {
        results: Mutex::new(results),
        reply: Some(reply),
        _room: room,
    });
    for item in &mut items {
        item.job = Some(Arc::clone(&job));
    }
    items
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
        let event = |n: u64| {
            let text = n.to_string();
            let key = keyed.then(|| text.parse().unwrap_or_else(|_| unreachable!("digits are a key")));
            NewEvent {
                key,
                ..NewEvent::new(Event::new(Payload::Json(Bytes::from(text))))
            }
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
        let events: Vec<NewEvent> = numbers.into_iter().map(event).collect();
        let open = events.iter().map(|_| Err(AppendError::Unconfirmed)).collect();
        let items = items(events, open, Durability::Primary, deadline, reply, vec![room]);
        (items, results)
    }

    /// The number that is an item's data.
    pub(in super::super) fn number(item: &Item) -> u64 {
        let text = String::from_utf8_lossy(item.event.data.raw()).into_owned();
        text.parse().unwrap_or(u64::MAX)
    }
}
