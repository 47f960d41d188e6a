//! What a lane of durable appends does beside the others: behind the batches that it has just sent it asks once whether all of
//! them are safe, sends nothing more until that is answered, and tells their publishers then. So however many
//! publishers there are, one wait is enough for what they sent meanwhile.

use std::time::Duration;

use shared::limits::{APPEND_ANSWER_TIMEOUT, DURABILITY_TRIAL_INTERVAL};

use super::super::super::durability;
use super::super::route::Wait;
use super::*;
use crate::Durability;

impl Lane {
    /// What the lane waits for, if it waits.
    pub(super) fn durability(&self) -> Option<Durability> {
        match self.id {
            LaneId::Plain(_) => None,
            LaneId::Durable(durability) => Some(durability),
        }
    }

    /// How long an answer may take before the connection is taken for dead.
    pub(super) fn answer_timeout(&self) -> Duration {
        match self.durability() {
            None => APPEND_ANSWER_TIMEOUT,
            Some(_) => APPEND_ANSWER_TIMEOUT + self.rules.durability_timeout,
        }
    }

    /// Asks whether the server can do what is asked for, before anything is sent that could not be made safe.
    pub(super) fn try_out(&mut self, route: usize) {
        let trial = self.durability().and_then(durability::trial);
        self.routes[route].unsupported = None;
        self.ask_and_wait(route, trial, true);
    }

    /// Why nothing that is sent there could be made safe.
    pub(super) fn cannot_be_safe(&mut self, route: usize) -> Option<AppendError> {
        let (why, since) = self.routes[route].unsupported?;
        if since.elapsed() >= DURABILITY_TRIAL_INTERVAL {
            // For those who come next: somebody may have changed a setting.
            self.try_out(route);
        }
        Some(AppendError::Refused(format!("it cannot be made durable: {why}")))
    }

    /// Asks whether the batches are safe that were just sent.
    pub(super) fn wait_for_what_was_sent(&mut self, route: usize) {
        let asked = self.routes[route].wait.is_some() || self.routes[route].in_flight.is_empty();
        if let Some(durability) = self.durability().filter(|_| !asked) {
            let wait = durability::wait(durability, self.rules.durability_timeout);
            self.ask_and_wait(route, wait, false);
        }
    }

    fn ask_and_wait(&mut self, route: usize, command: Option<redis::Cmd>, trial: bool) {
        let route = &mut self.routes[route];
        if let (Some(command), Some(pipe)) = (command, route.link.pipe()) {
            let answer = pipe.push(|out| {
                command.write_packed_command(out);
                1
            });
            route.wait = Some(Wait {
                answer,
                sent_at: Instant::now(),
                trial,
            });
        }
    }

    /// It is known whether the batches are safe that were sent before, or never will be.
    pub(super) fn waited(&mut self, route: usize, answer: Replies) {
        let Some(wait) = self.routes[route].wait.take() else {
            return;
        };
        match answer {
            Err(Fault::Lost(why)) => self.lost(route, why),
            answer => self.judge(route, &wait, answer.ok()),
        }
        self.routes[route].retire_if_done();
    }

    fn judge(&mut self, route: usize, wait: &Wait, replies: Option<Vec<u8>>) {
        let reply = replies.and_then(|replies| reply::values(&replies).ok()?.pop());
        let reply = &reply.unwrap_or_default();
        let now = Instant::now();
        self.routes[route].unsupported = durability::unsupported(reply).map(|why| (why, now));
        let Some(durability) = self.durability().filter(|_| !wait.trial) else {
            return;
        };
        metrics::histogram!("weir_redis_latency_seconds", "op" => "wait")
            .record(wait.sent_at.elapsed().as_secs_f64());
        let judged = durability::judge(durability, self.rules.durability_timeout, reply);
        for held in std::mem::take(&mut self.routes[route].held) {
            let results = held.results.into_iter().map(|result| tell(result, &judged));
            self.done(held.batch, results);
        }
    }

    /// The connection is gone. What waits on it with keys is sent again, over another one; of the rest it is known that it was
    /// appended, and no more.
    pub(super) fn waits_no_more(&mut self, route: usize, why: &str) {
        if let Some(mut wait) = self.routes[route].wait.take()
            && let Some(Ok(replies)) = in_flight::so_far(&mut wait.answer)
        {
            self.judge(route, &wait, Some(replies));
        }
        let judged = Err(format!("{why} before that was known"));
        for held in std::mem::take(&mut self.routes[route].held) {
            match held.batch.keyed {
                true => self.unanswered(held.batch),
                false => {
                    let results = held.results.into_iter().map(|result| tell(result, &judged));
                    self.done(held.batch, results);
                }
            }
        }
    }

    /// Publishers that stop waiting are told what is known by then.
    pub(super) fn settle_the_held_late(&mut self, now: Instant) {
        let judged = Err("Redis answers too slowly".to_owned());
        for held in self.routes.iter_mut().flat_map(|route| &mut route.held) {
            for (item, result) in held.batch.items.iter_mut().zip(&held.results) {
                if item.deadline <= now && !item.is_settled() {
                    item.settle(tell(result.clone(), &judged));
                }
            }
        }
    }
}

/// What a publisher is told whose event came out like this, and is safe or not.
fn tell(result: Result<Appended, Fault>, judged: &Result<(), String>) -> Result<Appended, AppendError> {
    let appended = result.map_err(Fault::into_append_error)?;
    match judged {
        Ok(()) => Ok(appended),
        Err(why) => Err(AppendError::NotDurable {
            appended,
            why: why.clone(),
        }),
    }
}
