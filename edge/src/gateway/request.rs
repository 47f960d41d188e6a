//! What the built-in events ask for: `subscribe`, `unsubscribe`, `publish`, `history`, each with one object.
//!
//! The rules for where to begin are those of the HTTP interface. A key that is not known is refused: a typing error in
//! `from` must not silently become "from now on".

use broker::{From, NewEvent, ReadRequest};
use serde::Deserialize;
use serde_json::value::RawValue;
use shared::limits::SIO_FILTER_BYTES_MAX;
use shared::wire::Plain;
use shared::{EntryId, Event, Payload, StreamName, Text, time};

use super::arguments::{Arguments, payload};
use super::record::FilterText;
use crate::error::{ApiError, Code};
use crate::http::check_event_name;
use crate::http::query::{Parameters, Streams, Targets};

/// What a client asks for.
#[derive(Debug)]
pub(crate) enum Request {
    /// Follow streams.
    Subscribe(Subscribe),
    /// Stop following streams.
    Unsubscribe(Vec<StreamName>, Naming),
    /// Append an event, or send it around the log.
    Publish(Publish),
    /// Read a page.
    History(StreamName, ReadRequest),
}

/// Whether a request has named its streams as one or as several: its answer has the same form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Naming {
    /// `stream`
    One,
    /// `streams`
    Several,
}

/// Streams to follow.
#[derive(Debug)]
pub(crate) struct Subscribe {
    /// Each once, with where to begin in it.
    pub(crate) targets: Vec<(StreamName, From)>,
    /// How they were named.
    pub(crate) naming: Naming,
    /// Which of their events.
    pub(crate) filter: FilterText,
}

/// An event to publish.
#[derive(Debug)]
pub(crate) struct Publish {
    /// Where it goes.
    pub(crate) stream: StreamName,
    /// What goes there.
    pub(crate) new: NewEvent,
    /// Whether it skips the log.
    pub(crate) ephemeral: bool,
    /// Whether the sender gets it too.
    pub(crate) echo: bool,
}

/// Reads a built-in event; `None` if there is none of this name. `now_ms` is what durations such as `15m` count back
/// from.
pub(crate) fn built_in(
    name: &str,
    arguments: &Arguments<'_>,
    now_ms: u64,
) -> Option<Result<Request, ApiError>> {
    let read = match name {
        "subscribe" => subscribe,
        "unsubscribe" => |arguments: &Arguments<'_>, _| unsubscribe(arguments),
        "publish" => |arguments: &Arguments<'_>, _| publish(arguments),
        "history" => history,
        _ => return None,
    };
    Some(read(arguments, now_ms))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SubscribeFields {
    stream: Option<String>,
    streams: Option<Streams>,
    from: Option<String>,
    last: Option<usize>,
    since: Option<String>,
    event: Option<Events>,
    #[serde(rename = "match")]
    pattern: Option<String>,
}

/// One event name or several.
#[derive(Deserialize)]
#[serde(untagged, expecting = "\"event\" is a text or an array of texts")]
enum Events {
    One(String),
    Many(Vec<String>),
}

fn subscribe(arguments: &Arguments<'_>, now_ms: u64) -> Result<Request, ApiError> {
    let fields: SubscribeFields = object(arguments.only()?)?;
    let filter = FilterText {
        events: match fields.event {
            Some(Events::One(name)) => vec![name],
            Some(Events::Many(names)) => names,
            None => Vec::new(),
        },
        pattern: fields.pattern,
    };
    let texts = filter.events.iter().chain(&filter.pattern);
    let filter_bytes: usize = texts.map(|text| text.len() + 1).sum();
    if filter_bytes > SIO_FILTER_BYTES_MAX {
        let problem = format!("\"event\" and \"match\" have at most {SIO_FILTER_BYTES_MAX} bytes together");
        return Err(invalid(problem));
    }
    let naming = naming(fields.streams.as_ref());
    let targets = Targets::parse(fields.stream, fields.streams, Code::InvalidEvent)?;
    let query = Parameters {
        from: fields.from.map(|text| text.parse()).transpose()?,
        last: fields.last,
        since: moment("since", fields.since, now_ms)?.map(|ms| EntryId::new(ms, 0)),
        events: filter.events.clone(),
        pattern: filter.pattern.clone(),
        ..Parameters::default()
    };
    // Compiles the filter too, so that it is known to be one.
    let query = query.into_tail()?;
    Ok(Request::Subscribe(Subscribe {
        targets: targets.begin(query.position)?,
        naming,
        filter,
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UnsubscribeFields {
    stream: Option<String>,
    streams: Option<Streams>,
}

fn unsubscribe(arguments: &Arguments<'_>) -> Result<Request, ApiError> {
    let fields: UnsubscribeFields = object(arguments.only()?)?;
    let naming = naming(fields.streams.as_ref());
    let targets = Targets::parse(fields.stream, fields.streams, Code::InvalidEvent)?;
    Ok(Request::Unsubscribe(targets.into_names()?, naming))
}

fn naming(streams: Option<&Streams>) -> Naming {
    match streams {
        Some(_) => Naming::Several,
        None => Naming::One,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PublishFields<'a> {
    stream: String,
    event: Option<String>,
    #[serde(borrow)]
    data: &'a RawValue,
    key: Option<String>,
    durability: Option<String>,
    ephemeral: Option<bool>,
    echo: Option<bool>,
}

/// What stands beside the data of a publish.
#[derive(Default)]
struct Beside<'a> {
    stream: &'a str,
    event: Option<&'a str>,
    key: Option<&'a str>,
    durability: Option<&'a str>,
    ephemeral: Option<bool>,
    echo: Option<bool>,
}

fn publish(arguments: &Arguments<'_>) -> Result<Request, ApiError> {
    if let Some((beside, data)) = plain_publish(arguments) {
        return beside.with(|| Ok(data.payload()));
    }
    any_publish(arguments)
}

/// Whatever the argument is.
fn any_publish(arguments: &Arguments<'_>) -> Result<Request, ApiError> {
    let fields: PublishFields<'_> = object(arguments.only()?)?;
    let beside = Beside {
        stream: &fields.stream,
        event: fields.event.as_deref(),
        key: fields.key.as_deref(),
        durability: fields.durability.as_deref(),
        ephemeral: fields.ephemeral,
        echo: fields.echo,
    };
    beside.with(|| payload(fields.data.get(), arguments.binary()))
}

/// A publish as nearly all of them are written, taken apart and checked in one look. Whatever else it is, it is left to the
/// parser, which also knows what is wrong with it.
fn plain_publish<'a>(arguments: &'a Arguments<'_>) -> Option<(Beside<'a>, Plain<'a>)> {
    let (mut beside, mut data) = (Beside::default(), None);
    for (key, value) in arguments.plain_members()? {
        match key {
            "stream" => beside.stream = value.text()?,
            "event" => beside.event = Some(value.text()?),
            "key" => beside.key = Some(value.text()?),
            "durability" => beside.durability = Some(value.text()?),
            "ephemeral" => beside.ephemeral = Some(value.truth()?),
            "echo" => beside.echo = Some(value.truth()?),
            "data" => data = Some(value),
            _ => return None,
        }
    }
    let whole = !beside.stream.is_empty() && arguments.binary().attachments.is_empty();
    data.filter(|_| whole).map(|data| (beside, data))
}

impl Beside<'_> {
    fn with(self, data: impl FnOnce() -> Result<Payload, ApiError>) -> Result<Request, ApiError> {
        let stream = self.stream.parse()?;
        let mut new = NewEvent::new(Event::new(data()?));
        if let Some(name) = self.event {
            check_event_name(name)?;
        }
        new.event.name = self.event.map(Text::from);
        new.key = self.key.map(str::parse).transpose()?;
        let ephemeral = self.ephemeral.unwrap_or(false);
        if ephemeral && new.key.is_some() {
            return Err(invalid("an ephemeral event is not kept, so it has no \"key\""));
        }
        new.durability = self.durability.map(str::parse).transpose()?;
        if ephemeral && new.durability.is_some() {
            return Err(invalid(
                "an ephemeral event is not kept, so it has no \"durability\"",
            ));
        }
        Ok(Request::Publish(Publish {
            stream,
            new,
            ephemeral,
            echo: self.echo.unwrap_or(true),
        }))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HistoryFields {
    stream: String,
    from: Option<String>,
    last: Option<usize>,
    since: Option<String>,
    until: Option<String>,
    limit: Option<usize>,
    reverse: Option<bool>,
}

fn history(arguments: &Arguments<'_>, now_ms: u64) -> Result<Request, ApiError> {
    let fields: HistoryFields = object(arguments.only()?)?;
    let stream: StreamName = fields.stream.parse()?;
    let query = Parameters {
        from: fields.from.map(|text| text.parse()).transpose()?,
        last: fields.last,
        since: moment("since", fields.since, now_ms)?.map(|ms| EntryId::new(ms, 0)),
        until: moment("until", fields.until, now_ms)?.map(|ms| EntryId::new(ms, u64::MAX)),
        limit: fields.limit,
        reverse: fields.reverse,
        ..Parameters::default()
    };
    let request = query.into_page(&stream)?.request;
    Ok(Request::History(stream, request))
}

fn moment(name: &str, text: Option<String>, now_ms: u64) -> Result<Option<u64>, ApiError> {
    text.map(|text| time::parse_since(&text, now_ms))
        .transpose()
        .map_err(|e| ApiError::parameter(name, e))
}

fn object<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, ApiError> {
    // A derived reader would take an array of the values too.
    if !json.starts_with('{') {
        return Err(invalid("expected an object"));
    }
    serde_json::from_str(json).map_err(|e| invalid(e.to_string()))
}

fn invalid(problem: impl Into<String>) -> ApiError {
    ApiError::new(Code::InvalidEvent, problem)
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
