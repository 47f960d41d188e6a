//! What a session does with each event: a declared route first, a built-in one otherwise.

use std::sync::Arc;

use broker::{From, IdempotencyKey, NewEvent};
use bytes::Bytes;
use shared::{Event, Payload, StreamName};
use tracing::debug;

use super::following::{Announcement, Answering, Following, Purpose};
use super::{Now, Order, Phase, Session, Stored, Task, Wanted};
use crate::error::{ApiError, Code};
use crate::gateway::answer;
use crate::gateway::arguments::{Arguments, Binary};
use crate::gateway::request::{self, Naming, Publish, Request, Subscribe};
use crate::gateway::rules::{PublishRoute, Route};
use crate::gateway::template::{Place, Template};
use crate::socketio::{AckId, Incoming};

/// Streams that are left when the record says so.
#[derive(Debug)]
pub(super) struct Leaving {
    ack: Option<AckId>,
    naming: Naming,
    /// Those that are left.
    left: Vec<StreamName>,
    /// All that were named.
    outcomes: Vec<(StreamName, Result<(), ApiError>)>,
}

impl Leaving {
    pub(super) fn streams(&self) -> &[StreamName] {
        &self.left
    }
}

/// What an event led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Led {
    /// A declared route.
    Route,
    /// Something built in.
    BuiltIn,
    /// Nothing: it was refused.
    Refused,
}

impl Session {
    /// An event of the client. Returns what it led to; `None`: it came too early or too late.
    pub(crate) fn event(&mut self, event: &Incoming, now: Now, out: &mut Vec<Order>) -> Option<Led> {
        if self.phase != Phase::Open {
            return None;
        }
        let binary = Binary {
            attachments: &event.attachments,
            bytes_max: self.limits.event_bytes_max,
        };
        let arguments = Arguments::new(&event.array, event.plain.as_ref(), binary);
        let rules = Arc::clone(&self.rules);
        let (led, done) = match rules.routes.get(event.name.as_str()) {
            Some(route) => (
                Led::Route,
                self.take_route(route, &arguments, event.ack, now, out),
            ),
            None => {
                let request = request::built_in(&event.name, &arguments, now.ms).unwrap_or_else(|| {
                    Err(ApiError::new(
                        Code::UnknownEvent,
                        format!("there is no event {:?} here", event.name),
                    ))
                });
                let done = request.and_then(|request| self.carry_out(request, event.ack, now, out));
                (Led::BuiltIn, done)
            }
        };
        if let Err(problem) = done {
            debug!(sid = &*self.sid, event = event.name, %problem, "an event is refused");
            self.answer(event.ack, || answer::error(&problem), out);
            return Some(Led::Refused);
        }
        Some(led)
    }

    fn take_route(
        &mut self,
        route: &Route,
        arguments: &Arguments<'_>,
        ack: Option<AckId>,
        now: Now,
        out: &mut Vec<Order>,
    ) -> Result<(), ApiError> {
        match route {
            Route::Subscribe(route) => {
                let wanted = self.targets(route, Some(arguments), now)?;
                let announcement = match &route.announce {
                    None => None,
                    Some(announce) => {
                        let (data, spread) = arguments.payload(&taken(&route.streams))?;
                        Some(Announcement::new(announce, data, spread))
                    }
                };
                self.subscribe(wanted, naming(&route.streams), announcement, ack, now, out)
            }
            Route::Unsubscribe(templates) => {
                let streams = self.streams(templates, Some(arguments))?;
                self.unsubscribe(streams, naming(templates), ack, now, out);
                Ok(())
            }
            Route::Publish(route) => self.publish_by_route(route, arguments, ack, out),
        }
    }

    fn publish_by_route(
        &mut self,
        route: &PublishRoute,
        arguments: &Arguments<'_>,
        ack: Option<AckId>,
        out: &mut Vec<Order>,
    ) -> Result<(), ApiError> {
        let stream = self.stream(&route.stream, Some(arguments))?;
        let key = route.key.as_ref().map(|key| self.render(key, Some(arguments)));
        let key: Option<IdempotencyKey> = key.transpose()?.map(|key| key.parse()).transpose()?;
        let (data, spread) = arguments.payload(&taken(std::slice::from_ref(&route.stream)))?;
        let event = Event {
            name: Some(route.name.clone()),
            spread,
            ..Event::new(data)
        };
        self.publish(
            stream,
            NewEvent {
                key,
                ..NewEvent::new(event)
            },
            route.ephemeral,
            route.echo,
            ack,
            out,
        );
        Ok(())
    }

    fn carry_out(
        &mut self,
        request: Request,
        ack: Option<AckId>,
        now: Now,
        out: &mut Vec<Order>,
    ) -> Result<(), ApiError> {
        match request {
            Request::Subscribe(Subscribe {
                targets,
                naming,
                filter,
            }) => {
                let wanted = |(stream, from): (StreamName, From)| {
                    self.check_name(&stream)?;
                    let filter = filter.clone();
                    Ok(Wanted { stream, from, filter })
                };
                let wanted: Result<Vec<Wanted>, ApiError> = targets.into_iter().map(wanted).collect();
                self.subscribe(wanted?, naming, None, ack, now, out)
            }
            Request::Unsubscribe(streams, naming) => {
                self.unsubscribe(streams, naming, ack, now, out);
                Ok(())
            }
            Request::Publish(Publish {
                stream,
                new,
                ephemeral,
                echo,
            }) => {
                self.check_name(&stream)?;
                self.publish(stream, new, ephemeral, echo, ack, out);
                Ok(())
            }
            Request::History(stream, request) => {
                self.check_name(&stream)?;
                self.read(stream, request, ack, out);
                Ok(())
            }
        }
    }

    fn subscribe(
        &mut self,
        wanted: Vec<Wanted>,
        naming: Naming,
        announcement: Option<Announcement>,
        ack: Option<AckId>,
        now: Now,
        out: &mut Vec<Order>,
    ) -> Result<(), ApiError> {
        let fresh = wanted
            .iter()
            .filter(|wanted| !self.subscriptions.contains(&wanted.stream));
        if self.subscriptions.len() + fresh.count() > self.limits.subscriptions_max {
            return Err(self.too_many());
        }
        let answering = Answering {
            ack,
            naming,
            outcomes: Vec::new(),
            announcement,
        };
        let purpose = Purpose::Answer(Box::new(answering));
        self.follow(Following::new(wanted.into(), purpose), now, out);
        Ok(())
    }

    pub(super) fn too_many(&self) -> ApiError {
        let max = self.limits.subscriptions_max;
        let problem = format!("a socket may follow {max} streams at the most; open another one");
        ApiError::new(Code::TooManySubscriptions, problem)
    }

    fn unsubscribe(
        &mut self,
        streams: Vec<StreamName>,
        naming: Naming,
        ack: Option<AckId>,
        now: Now,
        out: &mut Vec<Order>,
    ) {
        let mut leaving = Leaving {
            ack,
            naming,
            left: Vec::new(),
            outcomes: Vec::new(),
        };
        for stream in streams {
            let outcome = match self.subscriptions.contains(&stream) {
                true => Ok(()),
                false => {
                    let problem = format!("the stream {stream} is not followed by this socket");
                    Err(ApiError::new(Code::NotSubscribed, problem))
                }
            };
            if outcome.is_ok() {
                leaving.left.push(stream.clone());
            }
            leaving.outcomes.push((stream, outcome));
        }
        if leaving.left.is_empty() {
            return self.leave(leaving, out);
        }
        self.task = Some(Box::new(Task::Storing(Stored::Leave(leaving))));
        self.store(now, out);
    }

    /// What is stored is without the streams: they are left.
    pub(super) fn leave(&mut self, leaving: Leaving, out: &mut Vec<Order>) {
        let Leaving {
            ack,
            naming,
            left,
            outcomes,
        } = leaving;
        for stream in left {
            self.subscriptions.remove(&stream);
            out.push(Order::Leave(stream));
        }
        self.answer(ack, || answer::streams(naming, &outcomes), out);
        self.close_if_drained(out);
    }

    /// The client comes in: those who follow what it follows from the beginning are told, if the routes say so.
    pub(super) fn announce_arrival(&mut self, out: &mut Vec<Order>) {
        let rules = Arc::clone(&self.rules);
        for route in &rules.connect {
            let Some(announce) = &route.announce else { continue };
            let nothing = Payload::Json(Bytes::from_static(b"[]"));
            let announcement = Announcement::new(announce, nothing, true);
            for stream in self.streams(&route.streams, None).unwrap_or_default() {
                self.announce(stream, &announcement, out);
            }
        }
    }
}

/// The arguments that stand as a whole in a stream's name: they are not part of the data.
fn taken(templates: &[Template]) -> Vec<usize> {
    let places = templates.iter().flat_map(Template::places);
    places
        .filter_map(|place| match place {
            Place::Argument(index, path) if path.is_empty() => Some(*index),
            _ => None,
        })
        .collect()
}

fn naming(templates: &[Template]) -> Naming {
    match templates {
        [_] => Naming::One,
        _ => Naming::Several,
    }
}
