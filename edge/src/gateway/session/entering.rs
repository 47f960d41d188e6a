//! How a client comes in: with the session that it had, or with a new one.

use std::sync::Arc;

use broker::{Generation, ReadError, SessionError, Taken};
use tracing::{debug, error};

use super::following::{Following, Purpose};
use super::recovery::Recovery;
use super::{Arrival, Ids, Now, Order, Phase, Session, Stored, Task, Wanted};
use crate::error::ApiError;
use crate::gateway::arguments::auth_values;
use crate::gateway::claim::{Claim, claim};
use crate::gateway::offset::{self, Positions};
use crate::gateway::record::Record;
use crate::gateway::rules::Rules;
use crate::gateway::settings::SessionLimits;
use crate::gateway::subscriptions::Subscriptions;
use crate::socketio::Namespace;
use crate::trace::RequestTrace;

/// What is known of a client that asks for a namespace.
#[derive(Debug)]
pub(crate) struct Newcomer<'a> {
    /// What holds in the namespace.
    pub(crate) rules: Arc<Rules>,
    /// Bounds.
    pub(crate) limits: Arc<SessionLimits>,
    /// The connection's place in a trace.
    pub(crate) trace: Arc<RequestTrace>,
    /// The namespace.
    pub(crate) namespace: Namespace,
    /// What the client said of itself.
    pub(crate) auth: Option<&'a [u8]>,
}

impl Session {
    /// A session whose client waits to be let in. `ids` are drawn at random, for the case that it is a new one.
    pub(crate) fn enter(
        newcomer: Newcomer<'_>,
        ids: Ids,
        random: fastrand::Rng,
        now: Now,
        out: &mut Vec<Order>,
    ) -> Self {
        let Newcomer {
            rules,
            limits,
            trace,
            namespace,
            auth,
        } = newcomer;
        let claimed = if rules.recovery { claim(auth) } else { None };
        let mut session = Self {
            auth: auth_values(auth, &rules.auth),
            rules,
            limits,
            trace,
            namespace,
            sid: Box::default(),
            new: Some(Box::new(ids)),
            recovery: None,
            random,
            phase: Phase::Entering,
            arrival: Arrival::Fresh,
            subscriptions: Subscriptions::default(),
            task: None,
            publishes: 0,
            publish_bytes: 0,
            pages: 0,
        };
        match claimed {
            Some(Ok(Claim { pid, offset })) => {
                out.push(Order::TakeOver(pid.clone()));
                session.task = Some(Box::new(Task::TakingOver { pid, offset }));
            }
            Some(Err(_)) => session.begin(Arrival::Lost, now, out),
            None => session.begin(Arrival::Fresh, now, out),
        }
        session
    }

    /// The record of the session that the client wants back has been fetched, or not.
    pub(crate) fn taken(
        &mut self,
        outcome: Result<Option<Taken>, SessionError>,
        now: Now,
        out: &mut Vec<Order>,
    ) {
        let Some(Task::TakingOver { pid, offset }) = self.task.take().map(|task| *task) else {
            return;
        };
        match outcome {
            Ok(Some(Taken { generation, record })) => {
                if !self.restore(&record, offset.as_deref()) {
                    return self.begin(Arrival::Lost, now, out);
                }
                let due = self.next_touch(now);
                self.recovery = Some(Box::new(Recovery::new(pid, generation, due)));
                self.arrival = Arrival::Recovered;
                let wanted = self
                    .subscriptions
                    .iter()
                    .map(|(stream, position, filter)| Wanted {
                        stream: stream.clone(),
                        from: broker::From::Cursor(position),
                        filter,
                    });
                let following = Following::new(wanted.collect(), Purpose::Restore);
                self.follow(following, now, out);
            }
            Ok(None) => self.begin(Arrival::Lost, now, out),
            Err(problem) => self.turn_away(&problem, out),
        }
    }

    /// Takes over what a record says; `false` if the client's session cannot go on from it.
    fn restore(&mut self, record: &[u8], offset: Option<&str>) -> bool {
        let Some(record) = Record::decode(record) else {
            return false;
        };
        let here = record.namespace == self.namespace.as_str();
        if !here || record.subscriptions.len() > self.limits.subscriptions_max {
            return false;
        }
        let positions = match offset.map(|text| offset::parse(text, &record.sid)) {
            Some(Ok(positions)) => positions,
            Some(Err(_)) => return false,
            None => Positions::default(),
        };
        self.sid = record.sid.as_str().into();
        self.subscriptions = Subscriptions::restore(record, &positions);
        true
    }

    /// A stream of the session that the client wants back cannot be followed.
    pub(super) fn cannot_restore(&mut self, problem: &ReadError, now: Now, out: &mut Vec<Order>) {
        debug!(%problem, "a session cannot be recovered");
        if passes(problem) {
            return self.close(out);
        }
        let left = self.subscriptions.iter().map(|(stream, ..)| stream.clone());
        out.extend(left.map(Order::Leave));
        self.begin(Arrival::Lost, now, out);
    }

    /// A new session, which follows what the routes say for `connect`.
    fn begin(&mut self, arrival: Arrival, now: Now, out: &mut Vec<Order>) {
        self.arrival = arrival;
        self.subscriptions = Subscriptions::default();
        self.recovery = None;
        if let Some(new) = &self.new {
            self.sid = new.sid.clone();
        }
        let rules = Arc::clone(&self.rules);
        let mut wanted = Vec::new();
        for route in &rules.connect {
            match self.targets(route, None, now) {
                Ok(targets) => wanted.extend(targets),
                Err(problem) => return self.refuse(&problem, out),
            }
        }
        let mut seen = std::collections::HashSet::new();
        wanted.retain(|wanted: &Wanted| seen.insert(wanted.stream.clone()));
        if wanted.len() > self.limits.subscriptions_max {
            return self.refuse(&self.too_many(), out);
        }
        self.follow(Following::new(wanted.into(), Purpose::Enter), now, out);
    }

    /// A stream that is followed from the beginning cannot be.
    pub(super) fn cannot_begin(&mut self, problem: ReadError, out: &mut Vec<Order>) {
        match passes(&problem) {
            true => self.close(out),
            false => self.refuse(&problem.into(), out),
        }
    }

    /// Everything that is followed from the beginning is: the record is stored, then the client is let in.
    pub(super) fn store_and_enter(&mut self, out: &mut Vec<Order>) {
        match self.new.take().filter(|_| self.rules.recovery) {
            Some(new) => {
                out.push(Order::Create(new.pid.clone(), self.record(&[])));
                self.task = Some(Box::new(Task::Storing(Stored::Enter(new.pid))));
            }
            None => self.let_in(out),
        }
    }

    /// The record of a new session is stored, or not.
    pub(crate) fn created(
        &mut self,
        outcome: Result<Generation, SessionError>,
        now: Now,
        out: &mut Vec<Order>,
    ) {
        let Some(Task::Storing(Stored::Enter(pid))) = self.task.take().map(|task| *task) else {
            return;
        };
        match outcome {
            Ok(generation) => {
                let due = self.next_touch(now);
                self.recovery = Some(Box::new(Recovery::new(pid, generation, due)));
                self.let_in(out);
            }
            Err(problem) => self.turn_away(&problem, out),
        }
    }

    /// The client comes in. Who has been here before is not announced again.
    pub(super) fn let_in(&mut self, out: &mut Vec<Order>) {
        self.new = None;
        self.phase = Phase::Open;
        out.push(Order::Accept(self.arrival));
        if self.arrival != Arrival::Recovered {
            self.announce_arrival(out);
        }
    }

    /// The client cannot be let in now. It must not be refused: it would not come back.
    fn turn_away(&mut self, problem: &SessionError, out: &mut Vec<Order>) {
        match problem {
            SessionError::Unavailable(_) => debug!(%problem, "a client comes while the log is away"),
            _ => error!(%problem, "the record of a session cannot be kept"),
        }
        self.close(out);
    }

    /// The client cannot come in like this.
    fn refuse(&mut self, problem: &ApiError, out: &mut Vec<Order>) {
        self.phase = Phase::Closed;
        self.task = None;
        let mut data = Vec::new();
        problem.push_json(&mut data);
        out.push(Order::Refuse(problem.message().to_owned(), data));
    }
}

/// Whether the same may succeed later, or on another edge.
fn passes(problem: &ReadError) -> bool {
    problem.is_retryable() || matches!(problem, ReadError::TooManyStreams(_))
}
