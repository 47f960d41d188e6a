//! Publishes of one connection: gathered as long as more come, then handed to the log a run at a time, until the outcome
//! of each is known.
//!
//! What a publisher sends comes in pieces of many messages. To hand each to the log by itself costs several times what
//! the event itself does, so consecutive publishes to one stream go in as one, and their outcomes come as one.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::SystemTime;

use broker::{AppendError, Appended, Log, NewEvent, Receipt};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use shared::StreamName;
use shared::limits::APPEND_BATCH_ENTRIES_MAX;
use shared::trace::TraceParent;
use tokio::time::Sleep;
use tracing::debug;

use crate::error::ApiError;
use crate::metrics;
use crate::rate::{Client, RateLimits};
use crate::spans::{self, Published};

/// A publish under way: what the transport knows it by, and its place in a trace.
#[derive(Debug)]
pub(crate) struct Publish<R> {
    /// Where it goes.
    pub(crate) stream: StreamName,
    /// Its own place in the connection's trace.
    pub(crate) trace: TraceParent,
    /// The ID of the span above it.
    pub(crate) parent: u64,
    /// Bytes of its event.
    pub(crate) bytes: usize,
    /// How the client knows it.
    pub(crate) reference: R,
}

/// Where publishes go, and who is counted for them if their rate is limited.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) log: &'a Arc<dyn Log>,
    pub(crate) publisher: Option<(&'a RateLimits, Client)>,
}

/// The publishes of one connection that have no outcome yet, in order. Whoever takes them from the client bounds them.
pub(crate) struct Publishes<R> {
    /// Not handed to the log yet.
    gathered: VecDeque<Run<R>>,
    step: Option<Step<R>>,
    /// Mostly few, so each is looked at. A set of futures that says which may be ready has its task run once more for each that
    /// comes into it.
    acks: VecDeque<Ack<R>>,
    /// Outcomes that were found together and are handed out one by one.
    settled: VecDeque<Settled<R>>,
}

/// Consecutive publishes to one stream, and their events.
struct Run<R> {
    publishes: Vec<Underway<R>>,
    events: Vec<NewEvent>,
}

/// A publish, and when it was handed to the log, if that is recorded.
type Underway<R> = (Publish<R>, Option<SystemTime>);

/// What the first run waits for.
enum Step<R> {
    /// The publisher has to wait until it may publish again.
    Pause(Pin<Box<Sleep>>),
    /// A place in the log's queue.
    Submit(BoxFuture<'static, Submitted<R>>),
}

type Submitted<R> = (Vec<Underway<R>>, Result<Receipt, AppendError>);

impl<R> Default for Publishes<R> {
    fn default() -> Self {
        Self {
            gathered: VecDeque::new(),
            step: None,
            acks: VecDeque::new(),
            settled: VecDeque::new(),
        }
    }
}

impl<R: Send + Unpin + 'static> Publishes<R> {
    /// Takes in a publish, behind the others. It is handed to the log by the next call of [`begin`](Self::begin) or
    /// [`poll`](Self::poll).
    pub(crate) fn push(&mut self, publish: Publish<R>, new: NewEvent) {
        let begun = spans::now_if_wanted(publish.trace);
        match self.gathered.back_mut() {
            Some(run) if run.takes(&publish.stream, &new) => {
                run.publishes.push((publish, begun));
                run.events.push(new);
            }
            _ => self.gathered.push_back(Run {
                publishes: vec![(publish, begun)],
                events: vec![new],
            }),
        }
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.gathered.is_empty() && self.step.is_none() && self.acks.is_empty() && self.settled.is_empty()
    }

    /// Whether some wait for a place in the log's queue, or until they may be published. No other is to be taken from the
    /// client meanwhile.
    pub(crate) fn is_held_up(&self) -> bool {
        self.step.is_some()
    }

    /// Hands to the log what it takes at once, until it refuses some.
    pub(crate) fn begin(&mut self, target: Target<'_>) -> Option<Settled<R>> {
        match self.poll_begin(&mut Context::from_waker(Waker::noop()), target) {
            Poll::Ready(refused) => Some(refused),
            Poll::Pending => None,
        }
    }

    /// Hands over what is gathered, and waits for the next outcomes. Pending if there are none.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, target: Target<'_>) -> Poll<Settled<R>> {
        if let Poll::Ready(refused) = self.poll_begin(cx, target) {
            return Poll::Ready(refused);
        }
        if self.settled.is_empty() {
            self.look(cx);
        }
        self.next_settled().map_or(Poll::Pending, Poll::Ready)
    }

    /// The next of the outcomes that were found by the last [`poll`](Self::poll).
    pub(crate) fn next_settled(&mut self) -> Option<Settled<R>> {
        let settled = self.settled.pop_front();
        give_back(&mut self.settled);
        settled
    }

    /// Finds all outcomes that are there.
    fn look(&mut self, cx: &mut Context<'_>) {
        let settled = &mut self.settled;
        self.acks.retain_mut(|ack| match ack.receipt.poll_unpin(cx) {
            Poll::Ready(outcomes) => {
                let publishes = std::mem::take(&mut ack.publishes);
                settled.push_back(Settled { publishes, outcomes });
                false
            }
            Poll::Pending => true,
        });
        give_back(&mut self.acks);
    }

    /// Goes on with what is gathered until it has to wait. Ready if the log refuses some.
    fn poll_begin(&mut self, cx: &mut Context<'_>, target: Target<'_>) -> Poll<Settled<R>> {
        loop {
            match &mut self.step {
                Some(Step::Pause(pause)) => {
                    ready!(pause.as_mut().poll(cx));
                    self.step = None;
                }
                Some(Step::Submit(submit)) => {
                    let (publishes, receipt) = ready!(submit.poll_unpin(cx));
                    self.step = None;
                    match receipt {
                        Ok(receipt) => self.acks.push_back(Ack { publishes, receipt }),
                        Err(error) => return Poll::Ready(Settled::refused(publishes, &error)),
                    }
                }
                None => match self.gathered.pop_front() {
                    Some(run) => self.step = Some(self.step_of(run, target)),
                    None => return Poll::Pending,
                },
            }
        }
    }

    /// What is to be done for a run. A part of it may have to wait.
    fn step_of(&mut self, mut run: Run<R>, target: Target<'_>) -> Step<R> {
        if let Some((limits, client)) = target.publisher {
            let allowed = run.events.iter().map(|_| limits.publish_or_wait(client));
            let mut pause = None;
            let allowed = allowed
                .map_while(|allowed| allowed.map_err(|wait| pause = Some(wait)).ok())
                .count();
            if let Some(pause) = pause {
                self.gathered.push_front(Run {
                    publishes: run.publishes.split_off(allowed),
                    events: run.events.split_off(allowed),
                });
                if allowed == 0 {
                    return Step::Pause(Box::pin(tokio::time::sleep(pause)));
                }
            }
        }
        let log = Arc::clone(target.log);
        let submit = async move {
            let Run { publishes, events } = run;
            let receipt = match publishes.first() {
                Some((first, _)) => log.submit(&first.stream, events).await,
                None => Ok(Receipt::ready(Vec::new())),
            };
            (publishes, receipt)
        };
        Step::Submit(submit.boxed())
    }
}

/// A connection that publishes nothing keeps little memory for what it has published.
fn give_back<T>(list: &mut VecDeque<T>) {
    const KEPT_MAX: usize = 4;
    if list.is_empty() && list.capacity() > KEPT_MAX {
        *list = VecDeque::new();
    }
}

impl<R> Run<R> {
    /// Whether a publish to `stream` may join. Outcomes come together, and one that is waited for is not to hold up others.
    fn takes(&self, stream: &StreamName, new: &NewEvent) -> bool {
        let alike = |event: &NewEvent| event.durability == new.durability;
        self.events.last().is_some_and(alike)
            && self.events.len() < APPEND_BATCH_ENTRIES_MAX
            && self
                .publishes
                .first()
                .is_some_and(|(first, _)| first.stream == *stream)
    }
}

/// A run that is in the log's queue, until its outcomes are known.
struct Ack<R> {
    publishes: Vec<Underway<R>>,
    receipt: Receipt,
}

/// Publishes whose outcome is known.
pub(crate) struct Settled<R> {
    publishes: Vec<Underway<R>>,
    outcomes: Vec<Result<Appended, AppendError>>,
}

impl<R> Settled<R> {
    fn refused(publishes: Vec<Underway<R>>, error: &AppendError) -> Self {
        Self {
            outcomes: publishes.iter().map(|_| Err(error.clone())).collect(),
            publishes,
        }
    }

    /// Calls `each` with every one and its outcome, in order. Counts them, and writes them to the trace and to the log of
    /// this process.
    pub(crate) fn report(
        self,
        transport: &'static str,
        mut each: impl FnMut(Publish<R>, Result<Appended, ApiError>),
    ) {
        let mut fresh = 0;
        let mut outcomes = self.outcomes.into_iter();
        for (publish, begun) in self.publishes {
            // Where an outcome is missing it is not known.
            let outcome = outcomes.next().unwrap_or(Err(AppendError::Unconfirmed));
            let outcome = outcome.map_err(ApiError::from);
            let label = match &outcome {
                Ok(Appended { duplicate: true, .. }) => "duplicate",
                Ok(_) => "ok",
                Err(error) => error.code().as_str(),
            };
            match outcome {
                Ok(Appended { duplicate: false, .. }) => fresh += 1,
                _ => metrics::published(transport, label, 1),
            }
            let published = Published {
                transport,
                stream: &publish.stream,
                trace: publish.trace,
                parent: publish.parent,
                begun,
            };
            spans::published(&published, label);
            let id = outcome.as_ref().ok().map(|appended| appended.cursor.id);
            let id = id.map(tracing::field::display);
            debug!(stream = %publish.stream, trace = %publish.trace, outcome = label, id, "publish");
            each(publish, outcome);
        }
        if fresh > 0 {
            metrics::published(transport, "ok", fresh);
        }
    }
}

#[cfg(test)]
#[path = "appends_tests.rs"]
mod tests;
