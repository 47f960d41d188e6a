//! What a URL asks for: the stream in the path, and the parameters of pages and tails.
//!
//! Every parameter is known here. An unknown one, one given twice, one that contradicts another, is refused with an
//! error that names it: a typing error in a URL must not silently become another question.

use std::str::FromStr;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::Uri;
use axum::http::request::Parts;
use broker::{Direction, Filter, From, ReadRequest};
use percent_encoding::percent_decode_str;
use shared::limits::{PAGE_ENTRIES_DEFAULT, PAGE_ENTRIES_MAX};
use shared::{Cursor, CursorError, EntryId, MultiCursor, StreamName, time};

use crate::app::AppState;
use crate::error::{ApiError, Code};

/// Where streams live. The name is one path segment, `/` in it percent-encoded.
pub const STREAMS_PATH: &str = "/v1/streams/";

/// The stream that a path names.
pub struct StreamPath(pub StreamName);

impl FromRequestParts<AppState> for StreamPath {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let segment = parts.uri.path().strip_prefix(STREAMS_PATH).unwrap_or_default();
        let name = percent_decode_str(segment)
            .decode_utf8()
            .map_err(|_| ApiError::new(Code::InvalidStream, "the stream name in the path is not UTF-8"))?;
        Ok(Self(state.stream_name(&name)?))
    }
}

/// Where to begin, as a client says it. A cursor may be one that covers several streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// A position in the one stream that is asked for.
    One(Cursor),
    /// Positions in several streams.
    Many(MultiCursor),
    /// Before the first entry.
    Start,
    /// After the last entry.
    Now,
    /// With the last so many entries.
    Last(usize),
    /// With the first entry at or after this time.
    Since(EntryId),
}

impl Position {
    /// Where to begin in `stream`; `None` if the cursor does not cover it.
    pub fn in_stream(&self, stream: &StreamName) -> Option<From> {
        match self {
            Self::One(cursor) => Some(From::Cursor(*cursor)),
            Self::Many(cursor) => cursor.get(stream).map(From::Cursor),
            Self::Start => Some(From::Start),
            Self::Now => Some(From::Now),
            Self::Last(count) => Some(From::Last(*count)),
            Self::Since(id) => Some(From::Since(*id)),
        }
    }
}

impl FromStr for Position {
    type Err = CursorError;
    fn from_str(text: &str) -> Result<Self, CursorError> {
        match text {
            "start" => Ok(Self::Start),
            "now" => Ok(Self::Now),
            text if text.contains('~') => text.parse().map(Self::Many),
            text => text.parse().map(Self::One),
        }
    }
}

/// What a tail is asked for.
#[derive(Debug, Clone, Default)]
pub struct TailQuery {
    /// Where to begin; the default is now.
    pub position: Option<Position>,
    /// The last entry to deliver; the tail ends behind it.
    pub until: Option<EntryId>,
    /// Which events.
    pub filter: Filter,
}

impl TailQuery {
    /// Reads the query of a tail of one stream.
    pub fn parse(uri: &Uri, now_ms: u64) -> Result<Self, ApiError> {
        Parameters::parse(uri, now_ms, TAIL_PARAMETERS)?.into_tail()
    }

    /// Reads the query of `/v1/tail`: the streams, each named once, and the rest.
    pub fn parse_merged(uri: &Uri, now_ms: u64) -> Result<(Vec<StreamName>, Self), ApiError> {
        let mut parameters = Parameters::parse(uri, now_ms, MERGED_PARAMETERS)?;
        let streams = std::mem::take(&mut parameters.streams);
        if streams.is_empty() {
            return Err(ApiError::parameter(
                "stream",
                "name at least one: ?stream=a&stream=b",
            ));
        }
        let query = parameters.into_tail()?;
        if let (Some(Position::One(_)), true) = (&query.position, streams.len() > 1) {
            let problem = "this is a position in one stream, but several are asked for; pass back a cursor of this tail";
            return Err(ApiError::parameter("from", problem));
        }
        Ok((streams, query))
    }
}

/// What a page is asked for.
#[derive(Debug, Clone)]
pub struct PageQuery {
    /// The page.
    pub request: ReadRequest,
    /// Which events.
    pub filter: Filter,
    /// How long to wait for the first event.
    pub wait: Option<Duration>,
}

impl PageQuery {
    /// Reads the query of a page of `stream`.
    pub fn parse(uri: &Uri, now_ms: u64, stream: &StreamName) -> Result<Self, ApiError> {
        Parameters::parse(uri, now_ms, PAGE_PARAMETERS)?.into_page(stream)
    }
}

const TAIL_PARAMETERS: &[&str] = &["from", "last", "since", "until", "event", "match"];
const MERGED_PARAMETERS: &[&str] = &["stream", "from", "last", "since", "until", "event", "match"];
const PAGE_PARAMETERS: &[&str] = &[
    "from", "last", "since", "until", "limit", "reverse", "event", "match", "wait",
];

/// Everything that can stand in a query, or in the WebSocket frame that says the same.
#[derive(Default)]
pub(crate) struct Parameters {
    pub(crate) streams: Vec<StreamName>,
    pub(crate) from: Option<Position>,
    pub(crate) last: Option<usize>,
    pub(crate) since: Option<EntryId>,
    pub(crate) until: Option<EntryId>,
    pub(crate) limit: Option<usize>,
    pub(crate) reverse: Option<bool>,
    pub(crate) events: Vec<String>,
    pub(crate) pattern: Option<String>,
    pub(crate) wait: Option<Duration>,
}

impl Parameters {
    fn parse(uri: &Uri, now_ms: u64, known: &[&str]) -> Result<Self, ApiError> {
        let mut this = Self::default();
        for pair in uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter(|p| !p.is_empty())
        {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name, name)?, decode(name, value)?);
            if !known.contains(&name.as_str()) {
                let problem = format!("not known here; known are {}", known.join(", "));
                return Err(ApiError::parameter(&name, problem));
            }
            this.take(&name, value, now_ms)?;
        }
        Ok(this)
    }

    fn take(&mut self, name: &str, value: String, now_ms: u64) -> Result<(), ApiError> {
        let once = |is_set: bool| match is_set {
            true => Err(ApiError::parameter(name, "given twice")),
            false => Ok(()),
        };
        match name {
            "stream" => {
                let stream: StreamName = value.parse()?;
                once(self.streams.contains(&stream))?;
                self.streams.push(stream);
            }
            "from" => {
                once(self.from.is_some())?;
                self.from = Some(value.parse()?);
            }
            "last" => {
                once(self.last.is_some())?;
                self.last = Some(number(name, &value)?);
            }
            "since" => {
                once(self.since.is_some())?;
                self.since = Some(EntryId::new(moment(name, &value, now_ms)?, 0));
            }
            "until" => {
                once(self.until.is_some())?;
                self.until = Some(EntryId::new(moment(name, &value, now_ms)?, u64::MAX));
            }
            "limit" => {
                once(self.limit.is_some())?;
                self.limit = Some(number(name, &value)?);
            }
            "reverse" => {
                once(self.reverse.is_some())?;
                self.reverse = Some(flag(name, &value)?);
            }
            "event" => self.events.push(value),
            "match" => {
                once(self.pattern.is_some())?;
                self.pattern = Some(value);
            }
            "wait" => {
                once(self.wait.is_some())?;
                let wait = time::parse_duration(&value)
                    .map_err(|_| ApiError::parameter(name, "expected a duration such as 30s"))?;
                self.wait = Some(wait);
            }
            _ => {}
        }
        Ok(())
    }

    /// `from`, `last` and `since` each say where to begin, so only one of them may stand.
    fn begin(&mut self) -> Result<Option<Position>, ApiError> {
        if let (Some(since), Some(until)) = (self.since, self.until)
            && since > until
        {
            return Err(ApiError::parameter("until", "lies before \"since\""));
        }
        let given = [
            ("from", self.from.is_some()),
            ("last", self.last.is_some()),
            ("since", self.since.is_some()),
        ];
        let mut given = given.iter().filter(|(_, is_set)| *is_set).map(|(name, _)| *name);
        if let (Some(first), Some(second)) = (given.next(), given.next()) {
            return Err(conflict(second, first));
        }
        Ok(self.from.take().or(match (self.last, self.since) {
            (Some(0), _) => Some(Position::Now),
            (Some(count), _) => Some(Position::Last(count)),
            (_, Some(id)) => Some(Position::Since(id)),
            _ => None,
        }))
    }

    fn filter(&mut self) -> Result<Filter, ApiError> {
        Ok(Filter::new(
            std::mem::take(&mut self.events),
            self.pattern.as_deref(),
        )?)
    }

    /// What a tail is asked for.
    pub(crate) fn into_tail(mut self) -> Result<TailQuery, ApiError> {
        Ok(TailQuery {
            position: self.begin()?,
            until: self.until,
            filter: self.filter()?,
        })
    }

    /// What a page of `stream` is asked for.
    pub(crate) fn into_page(mut self, stream: &StreamName) -> Result<PageQuery, ApiError> {
        let filter = self.filter()?;
        let limit = self.limit.unwrap_or(match self.last {
            Some(count) => count.clamp(1, PAGE_ENTRIES_MAX),
            None => PAGE_ENTRIES_DEFAULT,
        });
        if limit == 0 {
            return Err(ApiError::parameter("limit", "expected at least 1"));
        }
        let direction = match self.reverse {
            Some(true) => self.backward(stream)?,
            _ => Direction::Forward(match self.begin()? {
                Some(position) => covered(&position, stream)?,
                None => From::Start,
            }),
        };
        Ok(PageQuery {
            request: ReadRequest {
                direction,
                until: self.until,
                limit: limit.min(PAGE_ENTRIES_MAX),
            },
            filter,
            wait: self.wait,
        })
    }

    /// Backward, `from` is the upper end and `since` the lower one, so they do not contradict each other.
    fn backward(&mut self, stream: &StreamName) -> Result<Direction, ApiError> {
        if self.last.is_some() {
            return Err(conflict("reverse", "last"));
        }
        if self.wait.is_some() {
            return Err(conflict("reverse", "wait"));
        }
        let before = match self.from.take().map(|p| covered(&p, stream)).transpose()? {
            Some(From::Cursor(cursor)) => Some(cursor),
            Some(From::Start) => Some(Cursor::START),
            _ => None,
        };
        let since = self.since.take();
        self.begin()?;
        Ok(Direction::Backward { before, since })
    }
}

fn covered(position: &Position, stream: &StreamName) -> Result<From, ApiError> {
    position
        .in_stream(stream)
        .ok_or_else(|| ApiError::parameter("from", format!("this cursor does not cover the stream {stream}")))
}

fn conflict(name: &str, with: &str) -> ApiError {
    ApiError::parameter(name, format!("cannot be combined with \"{with}\""))
}

fn decode(name: &str, text: &str) -> Result<String, ApiError> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    match decoded {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(ApiError::parameter(name, "not UTF-8")),
    }
}

fn number(name: &str, value: &str) -> Result<usize, ApiError> {
    value
        .parse()
        .map_err(|_| ApiError::parameter(name, "expected a whole number"))
}

fn flag(name: &str, value: &str) -> Result<bool, ApiError> {
    match value {
        "" | "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(ApiError::parameter(name, "expected true or false")),
    }
}

fn moment(name: &str, value: &str, now_ms: u64) -> Result<u64, ApiError> {
    // An offset such as +02:00 that was not percent-encoded arrives with a space; no time has a space there.
    time::parse_since(&value.replace(' ', "+"), now_ms).map_err(|e| ApiError::parameter(name, e))
}
