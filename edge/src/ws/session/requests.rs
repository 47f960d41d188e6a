//! What a session does with each request: orders for the log, answers, and its own bookkeeping.

use broker::Direction;
use shared::StreamName;

use super::{Joining, Output, Phase, Problem, Publishing, Reading, Ref, Reply, Request, Session, Subscribe};
use crate::error::{ApiError, Code};
use crate::ws::close::CloseCode;

impl Session {
    /// Names may be bounded more tightly here than in general.
    pub(super) fn check_names(&self, request: &Request) -> Result<(), ApiError> {
        let max = self.limits.name_bytes_max;
        let long = |name: &StreamName| name.as_str().len() > max;
        let any_long = match request {
            Request::Subscribe(subscribe) => subscribe.targets.iter().any(|(name, _)| long(name)),
            Request::Unsubscribe(names) => names.iter().any(long),
            Request::Publish(name, _) | Request::Page(name, _) => long(name),
            Request::Ping => false,
        };
        match any_long {
            true => Err(ApiError::new(
                Code::InvalidStream,
                format!("a stream name has at most {max} bytes here"),
            )),
            false => Ok(()),
        }
    }

    pub(super) fn begin(&mut self, reference: Option<Ref>, request: Request, out: &mut Vec<Output>) {
        match request {
            Request::Subscribe(subscribe) => self.subscribe(reference, subscribe, out),
            Request::Unsubscribe(streams) => {
                for stream in streams {
                    self.unsubscribe(reference.as_ref(), stream, out);
                }
            }
            Request::Publish(stream, mut new) => {
                // A part of the frame's own trace, or else of the connection's.
                let given = new.event.traceparent();
                let above = given.unwrap_or(self.trace.own);
                let trace = above.child(self.random.u64(..));
                let stored = given.or(self.trace.received).map(|_| trace.to_text());
                new.event.trace = stored;
                let bytes = new.event.size_bytes();
                self.publishes += 1;
                self.publish_bytes += bytes;
                let publishing = Publishing {
                    stream,
                    trace,
                    parent: above.parent_id,
                    reference,
                    bytes,
                };
                out.push(Output::Submit(publishing, new));
            }
            Request::Page(stream, request) => {
                self.pages += 1;
                let reading = Reading {
                    stream,
                    backward: matches!(request.direction, Direction::Backward { .. }),
                    reference,
                };
                out.push(Output::Read(reading, request));
            }
            Request::Ping => self.reply(
                &Reply::Pong {
                    reference: reference.as_ref(),
                },
                out,
            ),
        }
    }

    fn subscribe(&mut self, reference: Option<Ref>, subscribe: Subscribe, out: &mut Vec<Output>) {
        let Subscribe {
            targets,
            until,
            filter,
        } = subscribe;
        let fresh = targets
            .iter()
            .filter(|(stream, _)| !self.subscriptions.contains(stream));
        if self.subscriptions.len() + fresh.count() > self.limits.subscriptions_max {
            let max = self.limits.subscriptions_max;
            let problem = format!("a WebSocket may follow {max} streams at the most; open another one");
            let error = ApiError::new(Code::TooManySubscriptions, problem);
            return self.refuse(reference.as_ref(), None, &error, out);
        }
        self.joining
            .extend(targets.into_iter().map(|(stream, from)| Joining {
                stream,
                from,
                until,
                filter: filter.clone(),
                reference: reference.clone(),
            }));
        self.join_next(out);
    }

    fn unsubscribe(&mut self, reference: Option<&Ref>, stream: StreamName, out: &mut Vec<Output>) {
        if !self.subscriptions.remove(&stream) {
            let problem = format!("the stream {stream} is not followed on this WebSocket");
            let error = ApiError::new(Code::NotSubscribed, problem);
            return self.refuse(reference, Some(&stream), &error, out);
        }
        self.reply(
            &Reply::Unsubscribed {
                reference,
                stream: &stream,
            },
            out,
        );
        out.push(Output::Leave(stream));
    }

    /// Hands out the next stream to follow; its outcome hands out the one after.
    pub(super) fn join_next(&mut self, out: &mut Vec<Output>) {
        if let (Phase::Open, Some(next)) = (self.phase, self.joining.front()) {
            out.push(Output::Join(next.clone()));
        }
    }

    pub(super) fn refuse(
        &mut self,
        reference: Option<&Ref>,
        stream: Option<&StreamName>,
        error: &ApiError,
        out: &mut Vec<Output>,
    ) {
        let error = Problem::from(error);
        self.reply(
            &Reply::Error {
                reference,
                stream,
                error,
            },
            out,
        );
    }

    pub(super) fn reply(&mut self, reply: &Reply<'_>, out: &mut Vec<Output>) {
        // Behind a close nothing can be sent.
        if self.phase != Phase::Closed {
            out.push(Output::Send(reply.encode(self.format)));
        }
    }

    pub(super) fn close_if_drained(&mut self, out: &mut Vec<Output>) {
        if matches!(self.phase, Phase::Draining(_)) && self.publishes == 0 && self.pages == 0 {
            self.close(CloseCode::ServiceRestart, out);
        }
    }
}
