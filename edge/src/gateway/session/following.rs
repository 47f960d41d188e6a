//! Streams that begin to be followed: one after the other, then the record is stored, then the client is told.

use std::collections::VecDeque;

use broker::{Joined, ReadError};
use shared::{Event, Payload, StreamName};

use super::{Now, Order, Session, Stored, Task, Wanted};
use crate::error::ApiError;
use crate::gateway::answer::{self, Begun};
use crate::gateway::request::Naming;
use crate::gateway::rules::Announce;
use crate::socketio::AckId;

/// Streams that begin to be followed.
#[derive(Debug)]
pub(super) struct Following {
    /// The first is being joined.
    left: VecDeque<Wanted>,
    purpose: Purpose,
}

/// What for.
#[derive(Debug)]
pub(super) enum Purpose {
    /// The session goes on where another edge left it.
    Restore,
    /// The routes say so for everybody who comes in.
    Enter,
    /// The client asked for it.
    Answer(Box<Answering>),
}

/// What the client, and others, are told of it.
#[derive(Debug)]
pub(super) struct Answering {
    pub(super) ack: Option<AckId>,
    pub(super) naming: Naming,
    pub(super) outcomes: Vec<(StreamName, Result<Begun, ApiError>)>,
    pub(super) announcement: Option<Announcement>,
}

/// An event for those who follow a stream already.
#[derive(Debug)]
pub(super) struct Announcement {
    pub(super) event: Event,
    pub(super) ephemeral: bool,
    pub(super) echo: bool,
}

impl Announcement {
    pub(super) fn new(announce: &Announce, data: Payload, spread: bool) -> Self {
        let event = Event {
            name: Some(announce.name.clone()),
            spread,
            ..Event::new(data)
        };
        Self {
            event,
            ephemeral: announce.ephemeral,
            echo: announce.echo,
        }
    }
}

impl Answering {
    fn follows_any(&self) -> bool {
        self.outcomes.iter().any(|(_, outcome)| outcome.is_ok())
    }
}

impl Following {
    pub(super) fn new(left: VecDeque<Wanted>, purpose: Purpose) -> Self {
        Self { left, purpose }
    }
}

impl Session {
    /// Hands out the next stream to follow; its outcome leads to the one after, and at last to the end of it.
    pub(super) fn follow(&mut self, following: Following, now: Now, out: &mut Vec<Order>) {
        if let Some(next) = following.left.front() {
            out.push(Order::Join(next.clone()));
            self.task = Some(Box::new(Task::Following(following)));
            return;
        }
        match following.purpose {
            Purpose::Restore => self.let_in(out),
            Purpose::Enter => self.store_and_enter(out),
            Purpose::Answer(answering) if answering.follows_any() && self.recovery.is_some() => {
                self.task = Some(Box::new(Task::Storing(Stored::Followed(answering))));
                self.store(now, out);
            }
            Purpose::Answer(answering) => self.followed(*answering, out),
        }
    }

    /// The stream of the last [`Order::Join`] is followed, or not.
    pub(crate) fn joined(&mut self, outcome: Result<Joined, ReadError>, now: Now, out: &mut Vec<Order>) {
        let Some(Task::Following(mut following)) = self.task.take().map(|task| *task) else {
            return;
        };
        let Some(Wanted { stream, from, filter }) = following.left.pop_front() else {
            return;
        };
        match (outcome, &mut following.purpose) {
            // It goes on from where the client says it stands, not from where a gap would end.
            (Ok(_), Purpose::Restore) => {}
            (Ok(joined), purpose) => {
                let cursor = joined.resume_from(from);
                self.subscriptions.add(stream.clone(), cursor, filter);
                if let Purpose::Answer(answering) = purpose {
                    let verdict = joined.verdict;
                    answering.outcomes.push((stream, Ok(Begun { cursor, verdict })));
                }
            }
            (Err(problem), Purpose::Restore) => return self.cannot_restore(&problem, now, out),
            (Err(problem), Purpose::Enter) => return self.cannot_begin(problem, out),
            (Err(problem), Purpose::Answer(answering)) => {
                let away = problem.is_retryable();
                let problem = ApiError::from(problem);
                answering.outcomes.push((stream, Err(problem.clone())));
                // Each of the others would only wait for the log just as long.
                if away {
                    let others = following.left.drain(..);
                    let others = others.map(|other| (other.stream, Err(problem.clone())));
                    answering.outcomes.extend(others);
                }
            }
        }
        self.follow(following, now, out);
    }

    /// Tells the client, then the others.
    pub(super) fn followed(&mut self, answering: Answering, out: &mut Vec<Order>) {
        let Answering {
            ack,
            naming,
            outcomes,
            announcement,
        } = answering;
        self.answer(ack, || answer::streams(naming, &outcomes), out);
        if let Some(announcement) = announcement {
            for (stream, _) in outcomes.into_iter().filter(|(_, outcome)| outcome.is_ok()) {
                self.announce(stream, &announcement, out);
            }
        }
        self.close_if_drained(out);
    }
}
