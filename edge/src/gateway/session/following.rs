//! Streams that begin to be followed: one after the other, then the record is stored, then the client is told.

use std::collections::VecDeque;

use broker::{Joined, ReadError};
use shared::{Event, Payload, StreamName, Verdict};

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
    /// Whether something has begun, so that there is something to store.
    fn has_begun(&self) -> bool {
        let new = |(_, outcome): &(_, Result<Begun, _>)| outcome.as_ref().is_ok_and(|begun| !begun.already);
        self.outcomes.iter().any(new)
    }
}

impl Following {
    pub(super) fn new(left: VecDeque<Wanted>, purpose: Purpose) -> Self {
        Self { left, purpose }
    }
}

impl Session {
    /// Hands out the next stream to follow; its outcome leads to the one after, and at last to the end of it.
    pub(super) fn follow(&mut self, mut following: Following, now: Now, out: &mut Vec<Order>) {
        self.pass_followed(&mut following);
        if let Some(next) = following.left.front() {
            out.push(Order::Join(next.clone()));
            self.task = Some(Box::new(Task::Following(following)));
            return;
        }
        match following.purpose {
            Purpose::Restore => self.let_in(out),
            Purpose::Enter => self.store_and_enter(out),
            Purpose::Answer(answering) if answering.has_begun() && self.recovery.is_some() => {
                self.task = Some(Box::new(Task::Storing(Stored::Followed(answering))));
                self.store(now, out);
            }
            Purpose::Answer(answering) => self.followed(*answering, out),
        }
    }

    /// What the client asks for and follows already goes on as it is. Clients ask again whenever they connect, recovered
    /// or not, or because an answer was lost; were it begun anew, they would miss what is under way to them.
    fn pass_followed(&self, following: &mut Following) {
        let Purpose::Answer(answering) = &mut following.purpose else {
            return;
        };
        while let Some(next) = following.left.front()
            && let Some(begun) = self.goes_on(next)
        {
            answering.outcomes.push((next.stream.clone(), Ok(begun)));
            following.left.pop_front();
        }
    }

    /// What is told of a stream that is followed just so already.
    fn goes_on(&self, wanted: &Wanted) -> Option<Begun> {
        let cursor = self.subscriptions.standing(&wanted.stream, &wanted.filter)?;
        Some(Begun {
            cursor,
            verdict: Verdict::Continuous,
            already: true,
        })
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
                    let begun = Begun {
                        cursor,
                        verdict: joined.verdict,
                        already: false,
                    };
                    answering.outcomes.push((stream, Ok(begun)));
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
                    for other in following.left.drain(..) {
                        let outcome = self.goes_on(&other).ok_or_else(|| problem.clone());
                        answering.outcomes.push((other.stream, outcome));
                    }
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
