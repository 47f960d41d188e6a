//! One lane: a task that owns a queue and a connection to each node, sends batches, and settles what is answered, lost or
//! late. One of durable appends settles a batch only when it is known whether that is safe ([`durable`]).

mod durable;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use shared::StreamName;
use shared::limits::APPEND_TICK;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::super::fault::Fault;
use super::super::keys::KeyTemplate;
use super::super::link::{Change, Link};
use super::super::topology::{LaneId, Nodes, Topology};
use super::super::wire::{Pipe, reply, request};
use super::backlog::{Backlog, Batch, Place};
use super::in_flight::{self, InFlight, Replies};
use super::job::Item;
use super::route::{self, Held, News, Route};
use super::upkeep::{self, Upkeep};
use super::{idempotency, transaction};
use crate::{AppendError, Appended, RetentionRules, Unavailable};

/// What every lane works by.
pub(super) struct Rules {
    pub(super) keys: KeyTemplate,
    pub(super) retention: RetentionRules,
    pub(super) idempotency_window: Duration,
    pub(super) durability_timeout: Duration,
    /// How long Redis may be away before nothing waits for it.
    pub(super) outage_wait: Duration,
}

/// Events of one stream, on their way into a lane.
pub(super) struct Arrival {
    pub(super) stream: StreamName,
    pub(super) items: Vec<Item>,
}

/// The state of a lane's task.
pub(super) struct Lane {
    /// Which of the lanes it is.
    id: LaneId,
    rules: Arc<Rules>,
    arrivals: mpsc::Receiver<Arrival>,
    backlog: Backlog,
    routes: Vec<Route>,
    upkeep: Upkeep,
    topology: Arc<Topology>,
    /// Which node has which slot, as far as this lane has heard.
    nodes: watch::Receiver<Arc<Nodes>>,
    /// How long answers take. Made when it is first needed: a recorder that comes after it is not heard of.
    latency: Option<metrics::Histogram>,
}

impl Lane {
    pub(super) fn new(
        id: LaneId,
        rules: Arc<Rules>,
        arrivals: mpsc::Receiver<Arrival>,
        topology: Arc<Topology>,
    ) -> Self {
        let mut lane = Self {
            id,
            rules,
            arrivals,
            backlog: Backlog::default(),
            routes: Vec::new(),
            upkeep: Upkeep::default(),
            nodes: topology.nodes(),
            topology,
            latency: None,
        };
        lane.nodes_changed();
        lane
    }

    /// Runs until `stop` is cancelled and everything that was queued by then is settled.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut tick = interval(APPEND_TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stopped = pin!(stop.cancelled());
        let mut open = true;
        while open || !self.is_idle() {
            self.send_all();
            let idle = self.is_idle();
            tokio::select! {
                biased;
                () = &mut stopped, if !self.arrivals.is_closed() => self.arrivals.close(),
                _ = tick.tick(), if !idle => self.look_at_the_clock(),
                (route, news) = poll_fn(|cx| route::poll_news(&mut self.routes, cx)) => match news {
                    News::Answer(answer) => self.answered(route, answer),
                    News::Waited(answer) => self.waited(route, answer),
                    News::Change(change) => self.link_changed(route, change),
                },
                Ok(()) = self.nodes.changed() => {
                    self.nodes_changed();
                    self.drop_routes();
                }
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
        self.backlog.is_empty() && self.routes.iter().all(Route::is_idle)
    }

    fn arrived(&mut self, arrival: Arrival) {
        let node = || self.nodes.borrow().owner(&self.rules.keys, &arrival.stream).id();
        self.backlog.push(&arrival.stream, arrival.items, node);
    }

    /// Nodes have come or gone, or serve other slots.
    fn nodes_changed(&mut self) {
        let nodes = self.nodes.borrow_and_update().clone();
        for node in nodes.all() {
            let link = match self.id {
                LaneId::Plain(index) => node.take_append_link(index),
                LaneId::Durable(durability) => {
                    let known = self.routes.iter().any(|route| route.node.id() == node.id());
                    (!known).then(|| node.open_durable_append_link(durability))
                }
            };
            self.routes
                .extend(link.map(|link| Route::new(node.clone(), link)));
        }
        let keys = &self.rules.keys;
        self.backlog.place_all(|stream| nodes.owner(keys, stream).id());
    }

    /// Lets go the ways to nodes that are no more. Not while answers are settled, which name routes by their place.
    fn drop_routes(&mut self) {
        let nodes = self.nodes.borrow().clone();
        self.routes
            .retain(|route| !route.is_idle() || nodes.by_id(route.node.id()).is_some());
    }

    fn send_all(&mut self) {
        for route in 0..self.routes.len() {
            while let Some(pipe) = self.routes[route].may_send() {
                let Some(batch) = self.backlog.next_batch(self.routes[route].node.id()) else {
                    break;
                };
                self.send(route, &pipe, batch);
            }
            self.wait_for_what_was_sent(route);
        }
    }

    /// It leaves, with all that is sent in the same turn, when news are looked for.
    fn send(&mut self, route: usize, pipe: &Pipe, mut batch: Batch) {
        if let Some(why) = self.cannot_be_safe(route) {
            return self.refuse(batch, why);
        }
        let now = Instant::now();
        let retention = self.rules.retention.of(&batch.stream);
        let chores = self
            .upkeep
            .due(&batch.stream, retention, now, shared::time::now_ms());
        batch.expires = chores.expiry_due;
        let keys = &self.rules.keys;
        let answer = if batch.keyed {
            let command = idempotency::command(
                keys,
                &batch.stream,
                &batch.items,
                &chores,
                (self.rules.idempotency_window, self.durability().is_some()),
                !self.routes[route].script_known,
            );
            pipe.push(|out| {
                let asking = request::ask_first(out, batch.asking);
                command.write_packed_command(out);
                asking + 1
            })
        } else {
            let key = keys.stream_key(&batch.stream);
            pipe.push(|out| {
                let asking = request::ask_first(out, batch.asking);
                asking + transaction::write(out, &key, &batch.items, &chores)
            })
        };
        self.routes[route].in_flight.push_back(InFlight {
            batch,
            sent_at: now,
            answer,
        });
    }

    /// The oldest batch in flight has its answer, or never gets one.
    fn answered(&mut self, route: usize, answer: Replies) {
        let Some(InFlight { batch, sent_at, .. }) = self.routes[route].in_flight.pop_front() else {
            return;
        };
        match answer {
            Err(Fault::Lost(why)) => {
                self.unanswered(batch);
                self.lost(route, why);
            }
            answer => {
                self.latency
                    .get_or_insert_with(
                        || metrics::histogram!("weir_redis_latency_seconds", "op" => "append"),
                    )
                    .record(sent_at.elapsed());
                self.settle(route, batch, answer);
            }
        }
        self.routes[route].retire_if_done();
    }

    fn settle(&mut self, route: usize, batch: Batch, answer: Replies) {
        let fault = match answer.and_then(|replies| self.results(route, &batch, &replies)) {
            // An expiry that was set behind an append is no part of it.
            Ok(results) if self.durability().is_some() && !batch.items.is_empty() => {
                return self.routes[route].held.push(Held { batch, results });
            }
            Ok(results) => {
                let results = results
                    .into_iter()
                    .map(|result| result.map_err(Fault::into_append_error));
                return self.done(batch, results);
            }
            Err(fault) => fault,
        };
        self.upkeep.forget(&batch.stream);
        let stream = batch.stream.clone();
        match fault {
            Fault::NoScript => {
                self.routes[route].script_known = false;
                self.backlog.returned(batch);
            }
            // Nothing was done, so it waits for its time, as what was not sent yet does.
            Fault::NotNow(why) => {
                self.routes[route].retiring = Some(why);
                self.backlog.returned(batch);
            }
            Fault::Moved(redirect) => {
                self.backlog.returned(batch);
                let node = self.topology.redirected(&self.routes[route].node, &redirect);
                // First, as it places streams by their slots, which one that is being moved is not at.
                self.nodes_changed();
                match node {
                    Some(node) => {
                        let (node, asking) = (node.id(), redirect.ask);
                        self.backlog.redirect(&stream, Place { node, asking });
                    }
                    None => self.backlog.pause(&stream),
                }
            }
            Fault::TryAgain => {
                self.backlog.returned(batch);
                self.backlog.pause(&stream);
            }
            fault => {
                debug!(%stream, ?fault, "Redis refused an append");
                self.refuse(batch, fault.into_append_error());
            }
        }
    }

    /// The batch is done, and this is what its events are told.
    fn done(&mut self, mut batch: Batch, results: impl Iterator<Item = Result<Appended, AppendError>>) {
        for (item, result) in batch.items.iter_mut().zip(results) {
            item.settle(result);
        }
        for mut item in self.backlog.done(&batch.stream, batch.keyed) {
            item.settle(Err(Unavailable("Redis came back in between".into()).into()));
        }
    }

    /// The batch is refused for good; nothing of it was done.
    fn refuse(&mut self, mut batch: Batch, error: AppendError) {
        for item in &mut batch.items {
            item.settle(Err(error.clone()));
        }
        self.backlog.answered(&batch.stream, batch.keyed);
    }

    /// What became of each event of a batch.
    fn results(
        &mut self,
        route: usize,
        batch: &Batch,
        replies: &[u8],
    ) -> Result<Vec<Result<Appended, Fault>>, Fault> {
        if batch.keyed {
            let results = idempotency::answer(replies, batch.items.len())?;
            self.routes[route].script_known = true;
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
        if answer.fresh && !batch.expires {
            self.expire_fresh(route, batch);
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
    fn expire_fresh(&mut self, route: usize, fresh: &Batch) {
        let Some(ms) = upkeep::expiry_ms(self.rules.retention.of(&fresh.stream)) else {
            return;
        };
        let route = &mut self.routes[route];
        let Some(pipe) = route.link.pipe() else {
            return;
        };
        let key = self.rules.keys.stream_key(&fresh.stream);
        let answer = pipe.push(|out| {
            let asking = request::ask_first(out, fresh.asking);
            transaction::write_expiry(out, key.as_bytes(), ms);
            asking + 1
        });
        let batch = Batch {
            stream: fresh.stream.clone(),
            items: Vec::new(),
            keyed: false,
            asking: fresh.asking,
            expires: true,
        };
        self.backlog.extra_in_flight(&fresh.stream, route.node.id());
        route.in_flight.push_back(InFlight {
            batch,
            sent_at: Instant::now(),
            answer,
        });
    }

    fn link_changed(&mut self, route: usize, change: Change) {
        match change {
            Change::Up => {
                self.routes[route].script_known = false;
                self.upkeep.forget_all();
                self.try_out(route);
            }
            Change::Lost => self.lost(route, "the connection to Redis was lost"),
            Change::Useless(why) => {
                self.routes[route].retiring = Some(why);
                // What is in flight is answered first, see `answered`.
                self.routes[route].retire_if_done();
            }
        }
    }

    /// The connection is gone or does not answer. What was answered before still counts; of the rest, what has keys
    /// is sent again, and nobody knows about the others.
    fn lost(&mut self, route: usize, why: &'static str) {
        // First of all, so that nothing more is sent while answers are settled.
        self.routes[route].link.down(why);
        for mut sent in std::mem::take(&mut self.routes[route].in_flight) {
            let answer = in_flight::so_far(&mut sent.answer);
            let batch = sent.batch;
            match answer {
                Some(answer) if !matches!(answer, Err(Fault::Lost(_))) => self.settle(route, batch, answer),
                _ => self.unanswered(batch),
            }
        }
        self.waits_no_more(route, why);
        self.routes[route].retiring = None;
        self.topology.look();
    }

    fn unanswered(&mut self, mut batch: Batch) {
        self.upkeep.forget(&batch.stream);
        if batch.keyed {
            for item in &mut batch.items {
                item.maybe_appended = true;
            }
            self.backlog.returned(batch);
        } else {
            for item in &mut batch.items {
                item.settle(Err(AppendError::Unconfirmed));
            }
            self.backlog.answered(&batch.stream, batch.keyed);
        }
    }

    fn look_at_the_clock(&mut self) {
        self.backlog.resume();
        let now = Instant::now();
        let longest = self.answer_timeout();
        let slow = |oldest: &InFlight| now >= oldest.sent_at + longest;
        for route in 0..self.routes.len() {
            let wait = self.routes[route].wait.as_ref();
            if self.routes[route].in_flight.front().is_some_and(slow)
                || wait.is_some_and(|wait| now >= wait.sent_at + longest)
            {
                self.lost(route, "Redis does not answer");
            }
        }
        self.settle_the_late(now);
    }

    fn settle_the_late(&mut self, now: Instant) {
        let routes = &self.routes;
        let link = |node| {
            routes
                .iter()
                .find(|route| route.node.id() == node)
                .map(|route| &route.link)
        };
        // What may have been appended already is asked for until its time is over.
        let long_enough = |away: Duration| away >= self.rules.outage_wait;
        let known_away = |node| link(node).is_none_or(|link| link.away_for().is_some_and(long_enough));
        let given_up = |item: &Item, node| item.deadline <= now || (!item.maybe_appended && known_away(node));
        for (mut item, node) in self.backlog.given_up(given_up) {
            let error = if item.maybe_appended {
                AppendError::Unconfirmed
            } else {
                let why = link(node).map_or("a node of the Redis Cluster is away", Link::why);
                Unavailable(why.into()).into()
            };
            item.settle(Err(error));
        }
        let late = |item: &&mut Item| item.deadline <= now;
        let routes = self.routes.iter_mut();
        for item in routes
            .flat_map(|route| &mut route.in_flight)
            .flat_map(|sent| &mut sent.batch.items)
            .filter(late)
        {
            item.settle(Err(AppendError::Unconfirmed));
        }
        self.settle_the_held_late(now);
    }
}
