//! The parameters of a query: read, each of them known and given once, then put together.

use std::time::Duration;

use axum::http::Uri;
use broker::{Direction, Filter, From, ReadRequest};
use percent_encoding::percent_decode_str;
use shared::limits::{LAST_ENTRIES_MAX, PAGE_ENTRIES_DEFAULT, PAGE_ENTRIES_MAX};
use shared::{Cursor, EntryId, StreamName, time};

use super::{PageQuery, Position, TailQuery};
use crate::error::ApiError;

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
    pub(super) fn parse(uri: &Uri, now_ms: u64, known: &[&str]) -> Result<Self, ApiError> {
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

    fn check_ends(&self) -> Result<(), ApiError> {
        match (self.since, self.until) {
            (Some(since), Some(until)) if since > until => {
                Err(ApiError::parameter("until", "lies before \"since\""))
            }
            _ => Ok(()),
        }
    }

    /// `from`, `last` and `since` each say where to begin, so only one of them may stand.
    fn begin(&mut self) -> Result<Option<Position>, ApiError> {
        self.check_ends()?;
        if self.last.is_some_and(|count| count > LAST_ENTRIES_MAX) {
            let problem = format!("at most {LAST_ENTRIES_MAX}; use \"since\", or \"from=start\"");
            return Err(ApiError::parameter("last", problem));
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
        if !(1..=PAGE_ENTRIES_MAX).contains(&limit) {
            let problem = format!("expected 1 to {PAGE_ENTRIES_MAX}; go on from the page's cursor");
            return Err(ApiError::parameter("limit", problem));
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
                limit,
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
        self.check_ends()?;
        Ok(Direction::Backward {
            before,
            since: self.since,
        })
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
