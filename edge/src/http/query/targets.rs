//! Which streams a client wants to follow, and where to begin in each, as a WebSocket frame or a Socket.IO event says it.

use std::collections::HashSet;

use broker::From;
use serde::Deserialize;
use shared::StreamName;

use super::Position;
use crate::error::{ApiError, Code};

/// Several streams: their names, or each with the position to go on from.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "\"streams\" is an array of names, or an object of names and positions"
)]
pub(crate) enum Streams {
    /// Their names.
    Names(Vec<String>),
    /// Each with its position.
    Positions(serde_json::Map<String, serde_json::Value>),
}

/// Streams that were named, each once, in the order in which they were named, with their own positions if they have
/// some.
pub(crate) struct Targets {
    list: Vec<(StreamName, Option<Position>)>,
    /// What a request is that names no stream, or in a way that makes no sense.
    wrong: Code,
}

impl Targets {
    /// Reads `"stream"` or `"streams"`.
    pub(crate) fn parse(
        stream: Option<String>,
        streams: Option<Streams>,
        wrong: Code,
    ) -> Result<Self, ApiError> {
        let problem = |problem: &str| ApiError::new(wrong, problem);
        let list: Vec<(StreamName, Option<Position>)> = match (stream, streams) {
            (Some(_), Some(_)) => return Err(problem("\"stream\" and \"streams\" exclude each other")),
            (Some(name), None) => vec![(name.parse()?, None)],
            (None, Some(Streams::Names(names))) => {
                let target = |name: String| Ok((name.parse()?, None));
                names.into_iter().map(target).collect::<Result<_, ApiError>>()?
            }
            (None, Some(Streams::Positions(positions))) => {
                let target = |(name, position): (String, serde_json::Value)| {
                    let text = position.as_str().unwrap_or_default();
                    Ok((name.parse()?, Some(text.parse()?)))
                };
                positions
                    .into_iter()
                    .map(target)
                    .collect::<Result<_, ApiError>>()?
            }
            (None, None) => return Err(problem("\"stream\" or \"streams\" is missing")),
        };
        if list.is_empty() {
            return Err(problem("\"streams\" names no stream"));
        }
        let mut seen = HashSet::new();
        match list.iter().find(|(name, _)| !seen.insert(name)) {
            Some((name, _)) => Err(problem(&format!("the stream {name} is named twice"))),
            None => Ok(Self { list, wrong }),
        }
    }

    /// The names alone, where positions have no meaning.
    pub(crate) fn into_names(self) -> Result<Vec<StreamName>, ApiError> {
        let name = |(stream, position): (StreamName, Option<Position>)| match position {
            None => Ok(stream),
            Some(_) => Err(ApiError::new(self.wrong, "\"streams\" is an array of names here")),
        };
        self.list.into_iter().map(name).collect()
    }

    /// Where to begin in each: at its own position, or at the one that is given for all; at their ends without any.
    pub(crate) fn begin(self, shared: Option<Position>) -> Result<Vec<(StreamName, From)>, ApiError> {
        let own_positions = self.list.iter().any(|(_, position)| position.is_some());
        if own_positions && shared.is_some() {
            let problem = "\"streams\" says already where to begin in each of them";
            return Err(ApiError::new(
                self.wrong,
                format!("\"from\", \"last\", \"since\": {problem}"),
            ));
        }
        if let (Some(Position::One(_)), true) = (&shared, self.list.len() > 1) {
            let problem =
                "this is a position in one stream; give each its own: \"streams\":{\"a\":…,\"b\":…}";
            return Err(ApiError::parameter("from", problem));
        }
        let shared = shared.unwrap_or(Position::Now);
        let begin = |(stream, position): (StreamName, Option<Position>)| {
            let from = position.as_ref().unwrap_or(&shared).in_stream(&stream);
            let from = from.ok_or_else(|| {
                ApiError::parameter("from", format!("this cursor does not cover the stream {stream}"))
            })?;
            Ok((stream, from))
        };
        self.list.into_iter().map(begin).collect()
    }
}
