//! Frames from the client: bytes in, a checked [`Request`] out, or an error that can be answered.
//!
//! The rules for where to begin are those of the HTTP interface, in `http::query`. Nothing is guessed: a key that a
//! frame does not know is refused, because a typing error in `from` must not silently become "from now on".

use broker::{Filter, From, NewEvent, ReadRequest};
use shared::trace::TraceParent;
use shared::{EntryId, Event, StreamName, Text};

use super::fields::{Data, Events, Fields, Ref, parse};
use super::format::Format;
use crate::error::{ApiError, Code};
use crate::http::check_event_name;
use crate::http::query::{Parameters, Targets};

/// What a client asks for.
#[derive(Debug)]
pub(crate) enum Request {
    /// Follow streams.
    Subscribe(Subscribe),
    /// Stop following streams.
    Unsubscribe(Vec<StreamName>),
    /// Append one event.
    Publish(StreamName, NewEvent),
    /// Read a page.
    Page(StreamName, ReadRequest),
    /// Answer with a pong.
    Ping,
}

/// Which streams to follow, each from where, and what of them.
#[derive(Debug)]
pub(crate) struct Subscribe {
    /// Each stream once, in the order in which it was named.
    pub(crate) targets: Vec<(StreamName, From)>,
    /// The last entry to deliver.
    pub(crate) until: Option<EntryId>,
    /// Which events.
    pub(crate) filter: Filter,
}

/// A frame that cannot be carried out.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The frame's `ref`, as far as it could be read.
    pub(crate) reference: Option<Ref>,
    /// What is wrong with it.
    pub(crate) error: ApiError,
}

/// Reads one frame. `now_ms` tells the time that durations such as `15m` count back from.
pub(crate) fn decode(
    format: Format,
    frame: &[u8],
    now_ms: fn() -> u64,
) -> Result<(Option<Ref>, Request), Box<Refusal>> {
    let refusal = |reference, error: ApiError| {
        Box::new(Refusal {
            reference,
            error: error.shortened(),
        })
    };
    let (mut fields, data) = parse(format, frame).map_err(|(reference, error)| refusal(reference, error))?;
    let reference = fields.reference.take();
    match fields.into_request(data, now_ms) {
        Ok(request) => Ok((reference, request)),
        Err(error) => Err(refusal(reference, error)),
    }
}

impl Fields<'_> {
    fn into_request(mut self, mut data: Data, now_ms: fn() -> u64) -> Result<Request, ApiError> {
        let kind = std::mem::take(&mut self.kind);
        let request = match &*kind {
            "subscribe" => self.take_subscribe(now_ms).map(Request::Subscribe),
            "unsubscribe" => self.take_unsubscribe().map(Request::Unsubscribe),
            "publish" => self.take_publish(data.take()),
            "page" => self.take_page(now_ms),
            "ping" => Ok(Request::Ping),
            other => Err(invalid(format!(
                "unknown type {other:?}; known are subscribe, unsubscribe, publish, page, ping"
            ))),
        }?;
        // Whatever was not taken does not belong into a frame of this type.
        match self.left().or(data.map(|_| "data")) {
            Some(key) => Err(invalid(format!("\"{key}\" does not belong into a {kind} frame"))),
            None => Ok(request),
        }
    }
}

impl Fields<'_> {
    fn take_subscribe(&mut self, now_ms: fn() -> u64) -> Result<Subscribe, ApiError> {
        let targets = self.take_targets()?;
        let query = self.take_parameters(now_ms)?.into_tail()?;
        Ok(Subscribe {
            targets: targets.begin(query.position)?,
            until: query.until,
            filter: query.filter,
        })
    }

    fn take_unsubscribe(&mut self) -> Result<Vec<StreamName>, ApiError> {
        self.take_targets()?.into_names()
    }

    fn take_publish(&mut self, data: Data) -> Result<Request, ApiError> {
        let stream = self.take_stream()?;
        let data = data.ok_or_else(|| event("\"data\" is missing"))?;
        let mut new = NewEvent::new(Event::new(data));
        new.event.name = match self.event.take() {
            Some(Events::Many(_)) => return Err(event("\"event\" is one name")),
            Some(Events::One(name)) => {
                check_event_name(&name)?;
                Some(Text::from(name))
            }
            None => None,
        };
        let trace = self.traceparent.take().map(|text| text.parse::<TraceParent>());
        let trace = trace
            .transpose()
            .map_err(|e| event(format!("\"traceparent\": {e}")))?;
        new.event.trace = trace.map(TraceParent::to_text);
        new.key = self.key.take().map(|key| key.parse()).transpose()?;
        let durability = self.durability.take().map(|text| text.parse());
        new.durability = durability.transpose()?;
        Ok(Request::Publish(stream, new))
    }

    fn take_page(&mut self, now_ms: fn() -> u64) -> Result<Request, ApiError> {
        let stream = self.take_stream()?;
        let mut parameters = self.take_parameters(now_ms)?;
        if !parameters.events.is_empty() || parameters.pattern.is_some() {
            return Err(invalid("a page frame has no filter"));
        }
        parameters.limit = self.limit.take();
        parameters.reverse = self.reverse.take();
        let query = parameters.into_page(&stream)?;
        Ok(Request::Page(stream, query.request))
    }

    fn take_parameters(&mut self, now_ms: fn() -> u64) -> Result<Parameters, ApiError> {
        let moment = |name: &str, text: Option<String>| {
            text.map(|text| {
                shared::time::parse_since(&text, now_ms()).map_err(|e| ApiError::parameter(name, e))
            })
            .transpose()
        };
        Ok(Parameters {
            from: self.from.take().map(|text| text.parse()).transpose()?,
            last: self.last.take(),
            since: moment("since", self.since.take())?.map(|ms| EntryId::new(ms, 0)),
            until: moment("until", self.until.take())?.map(|ms| EntryId::new(ms, u64::MAX)),
            events: match self.event.take() {
                Some(Events::One(name)) => vec![name],
                Some(Events::Many(names)) => names,
                None => Vec::new(),
            },
            pattern: self.pattern.take(),
            ..Parameters::default()
        })
    }

    fn take_stream(&mut self) -> Result<StreamName, ApiError> {
        let name = self
            .stream
            .take()
            .ok_or_else(|| invalid("\"stream\" is missing"))?;
        Ok(name.parse()?)
    }

    fn take_targets(&mut self) -> Result<Targets, ApiError> {
        Targets::parse(self.stream.take(), self.streams.take(), Code::InvalidFrame)
    }
}

fn invalid(problem: impl Into<String>) -> ApiError {
    ApiError::new(Code::InvalidFrame, problem)
}

fn event(problem: impl Into<String>) -> ApiError {
    ApiError::new(Code::InvalidEvent, problem)
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
