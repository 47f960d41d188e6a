//! What a URL asks for: the stream in the path, and the parameters of pages and tails.
//!
//! Every parameter is known here. An unknown one, one given twice, one that contradicts another, is refused with an
//! error that names it: a typing error in a URL must not silently become another question.

mod parameters;
mod targets;
#[cfg(test)]
mod tests;

use std::str::FromStr;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::Uri;
use axum::http::request::Parts;
use broker::{Filter, From, ReadRequest};
use percent_encoding::percent_decode_str;
use shared::{Cursor, CursorError, EntryId, MultiCursor, StreamName};

use crate::app::AppState;
use crate::error::{ApiError, Code};
pub(crate) use parameters::Parameters;
pub(crate) use targets::{Streams, Targets};

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
