//! One lane: a task that owns a queue and a connection, sends batches, and settles what is answered, lost or late.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use redis::aio::MultiplexedConnection;
use shared::StreamName;
use shared::limits::{APPEND_ANSWER_TIMEOUT, APPEND_BATCHES_IN_FLIGHT_MAX, APPEND_OUTAGE_WAIT, APPEND_TICK};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::super::fault::Fault;
use super::super::keys::KeyTemplate;
use super::super::link::{Change, Link};
use super::backlog::{Backlog, Batch};
use super::in_flight::{self, InFlight, ask};
use super::job::Item;
use super::upkeep::{self, Upkeep};
use super::{idempotency, transaction};
use crate::{AppendError, Appended, RetentionRules, Unavailable};

/// What every lane works by.
pub(super) struct Rules {
    pub(super) keys: KeyTemplate,
    pub(super) retention: RetentionRules,
    pub(super) idempotency_window: Duration,
}

/// Events of one stream, on their way into a lane.
pub(super) struct Arrival {
    pub(super) stream: StreamName,
    pub(super) items: Vec<Item>,
}

/// The state of a lane's task.
pub(super) struct Lane {
    rules: Arc<Rules>,
    arrivals: mpsc::Receiver<Arrival>,
    backlog: Backlog,
    link: Link,
    in_flight: VecDeque<InFlight>,
    upkeep: Upkeep,
    /// Whether the server knows the script, as far as this connection has shown.
    script_known: bool,
    /// Set when the server answered that it cannot serve: nothing more is sent, and the connection is opened anew
    /// when everything in flight is answered.
    retiring: Option<&'static str>,
}

impl Lane {
    pub(super) fn new(rules: Arc<Rules>, arrivals: mpsc::Receiver<Arrival>, link: Link) -> Self {
        Self {
            rules,
            arrivals,
            backlog: Backlog::default(),
            link,
            in_flight: VecDeque::new(),
            upkeep: Upkeep::default(),
            script_known: false,
            retiring: None,
        }
    }

    /// Runs until `stop` is cancelled and everything that was queued by then is settled.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut tick = interval(APPEND_TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut open = true;
        while open || !self.is_idle() {
            self.send_all();
            let idle = self.is_idle();
            tokio::select! {
                biased;
                () = stop.cancelled(), if !self.arrivals.is_closed() => self.arrivals.close(),
                _ = tick.tick(), if !idle => self.look_at_the_clock(),
                answer = in_flight::oldest(&mut self.in_flight) => self.answered(answer),
                change = self.link.changed() => self.link_changed(change),
                arrival = self.arrivals.recv(), if open => match arrival {
                    Some(arrival) => self.arrived(arrival),
                    None => open = false,
                },
            }
            // Whatever else has come meanwhile may go into the same batches.
            while let Ok(arrival) = self.arrivals.try_recv() {
                self.arrived(arrival);
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.backlog.is_empty() && self.in_flight.is_empty()
    }

    fn arrived(&mut self, arrival: Arrival) {
        self.backlog.push(&arrival.stream, arrival.items);
    }

    fn send_all(&mut self) {
        while self.retiring.is_none() && self.in_flight.len() < APPEND_BATCHES_IN_FLIGHT_MAX {
            let Some(connection) = self.link.connection().cloned() else {
                return;
            };
            let Some(batch) = self.backlog.next_batch() else {
                return;
            };
            self.send(connection, batch);
        }
    }

    fn send(&mut self, connection: MultiplexedConnection, batch: Batch) {
        let now = Instant::now();
        let retention = self.rules.retention.of(&batch.stream);
        let chores = self
            .upkeep
            .due(&batch.stream, retention, now, shared::time::now_ms());
        let keys = &self.rules.keys;
        let answer = if batch.keyed {
            let command = idempotency::command(
                keys,
                &batch.stream,
                &batch.items,
                &chores,
                self.rules.idempotency_window,
                !self.script_known,
            );
            ask(connection, command)
        } else {
            let key = keys.stream_key(&batch.stream);
            ask(connection, transaction::commands(&key, &batch.items, &chores))
        };
        self.in_flight.push_back(InFlight::new(batch, answer, now));
    }

    /// The oldest batch in flight has its answer, or never gets one.
    fn answered(&mut self, answer: Result<Vec<Value>, Fault>) {
        let Some(InFlight { batch, sent_at, .. }) = self.in_flight.pop_front() else {
            return;
        };
        match answer {
            Err(Fault::Lost(why)) => {
                self.unanswered(batch);
                self.lost(why);
            }
            answer => {
                metrics::histogram!("weir_redis_latency_seconds", "op" => "append")
                    .record(sent_at.elapsed().as_secs_f64());
                self.settle(batch, answer);
            }
        }
        if self.in_flight.is_empty()
            && let Some(why) = self.retiring.take()
        {
            self.link.down(why);
        }
    }

    fn settle(&mut self, mut batch: Batch, answer: Result<Vec<Value>, Fault>) {
        let results = answer.and_then(|replies| self.results(&batch, replies));
        match results {
            Ok(results) => {
                for (item, result) in batch.items.iter_mut().zip(results) {
                    item.settle(result.map_err(Fault::into_append_error));
                }
            }
            Err(Fault::NoScript) => {
                self.script_known = false;
                self.upkeep.forget(&batch.stream);
                self.backlog.put_back(batch);
                return;
            }
            Err(fault) => {
                debug!(stream = %batch.stream, ?fault, "Redis refused an append");
                if let Fault::NotNow(why) = fault {
                    self.retiring = Some(why);
                }
                self.upkeep.forget(&batch.stream);
                let error = fault.into_append_error();
                for item in &mut batch.items {
                    item.settle(Err(error.clone()));
                }
            }
        }
        self.backlog.answered(&batch.stream, batch.keyed);
    }

    /// What became of each event of a batch.
    fn results(
        &mut self,
        batch: &Batch,
        mut replies: Vec<Value>,
    ) -> Result<Vec<Result<Appended, Fault>>, Fault> {
        if batch.keyed {
            let reply = replies.pop().ok_or(Fault::Malformed)?;
            let results = idempotency::answer(reply, batch.items.len())?;
            self.script_known = true;
            if let Some(last) = results.iter().rev().find(|result| !result.duplicate) {
                self.upkeep.appended(&batch.stream, last.cursor.id);
            }
            return Ok(results.into_iter().map(Ok).collect());
        }
        if batch.items.is_empty() {
            return Ok(Vec::new());
        }
        let answer = transaction::answer(replies, batch.items.len())?;
        if let Some(newest) = answer.newest {
            self.upkeep.appended(&batch.stream, newest);
        }
        if answer.fresh {
            self.expire_fresh(&batch.stream);
        }
        let appended = |cursor| Appended {
            cursor,
            duplicate: false,
        };
        Ok(answer
            .cursors
            .into_iter()
            .map(|cursor| cursor.map(appended))
            .collect())
    }

    /// Somebody removed the stream, and with it its expiry, since that was last set; it may never be appended to
    /// again.
    fn expire_fresh(&mut self, stream: &StreamName) {
        let Some(ms) = upkeep::expiry_ms(self.rules.retention.of(stream)) else {
            return;
        };
        let Some(connection) = self.link.connection().cloned() else {
            return;
        };
        let key = self.rules.keys.stream_key(stream);
        let answer = ask(connection, transaction::expiry(&key, ms));
        let batch = Batch {
            stream: stream.clone(),
            items: Vec::new(),
            keyed: false,
        };
        self.backlog.extra_in_flight(stream);
        self.in_flight
            .push_back(InFlight::new(batch, answer, Instant::now()));
    }

    fn link_changed(&mut self, change: Change) {
        match change {
            Change::Up => {
                self.script_known = false;
                self.upkeep.forget_all();
            }
            Change::Lost => self.lost("the connection to Redis was lost"),
            // What is in flight is answered first, see `answered`.
            Change::Useless(why) if !self.in_flight.is_empty() => self.retiring = Some(why),
            Change::Useless(why) => self.link.down(why),
        }
    }

    /// The connection is gone or does not answer. What was answered before still counts; of the rest, what has keys
    /// is sent again, and nobody knows about the others.
    fn lost(&mut self, why: &'static str) {
        // First of all, so that nothing more is sent while answers are settled.
        self.link.down(why);
        for mut sent in std::mem::take(&mut self.in_flight) {
            let answer = sent.answer_so_far();
            let batch = sent.batch;
            match answer {
                Some(answer) if !matches!(answer, Err(Fault::Lost(_))) => self.settle(batch, answer),
                _ => self.unanswered(batch),
            }
        }
        self.retiring = None;
    }

    fn unanswered(&mut self, mut batch: Batch) {
        self.upkeep.forget(&batch.stream);
        if batch.keyed {
            for item in &mut batch.items {
                item.maybe_appended = true;
            }
            self.backlog.put_back(batch);
        } else {
            for item in &mut batch.items {
                item.settle(Err(AppendError::Unconfirmed));
            }
            self.backlog.answered(&batch.stream, batch.keyed);
        }
    }

    fn look_at_the_clock(&mut self) {
        let now = Instant::now();
        let slow = |oldest: &InFlight| now >= oldest.sent_at + APPEND_ANSWER_TIMEOUT;
        if self.in_flight.front().is_some_and(slow) {
            self.lost("Redis does not answer");
        }
        let unavailable = AppendError::from(Unavailable(self.link.why().into()));
        // What may have been appended already is asked for until its time is over.
        let known_away = self.link.away_for() >= APPEND_OUTAGE_WAIT;
        let given_up = |item: &Item| item.deadline <= now || (known_away && !item.maybe_appended);
        for mut item in self.backlog.given_up(given_up) {
            let error = if item.maybe_appended {
                AppendError::Unconfirmed
            } else {
                unavailable.clone()
            };
            item.settle(Err(error));
        }
        let late = |item: &&mut Item| item.deadline <= now;
        for item in self
            .in_flight
            .iter_mut()
            .flat_map(|f| &mut f.batch.items)
            .filter(late)
        {
            item.settle(Err(AppendError::Unconfirmed));
        }
    }
}
