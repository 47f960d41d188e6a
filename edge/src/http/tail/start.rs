//! Where a tail begins: from what the client asks for to a subscriber that stands there.

use axum::http::{HeaderMap, HeaderName};
use broker::{Delivery, From, Order, ReadError, Subscriber, SubscriberConfig};
use shared::limits::{STREAMS_PER_CURSOR_MAX, TAIL_ENDED_WAIT};
use shared::{Cursor, StreamName, Verdict, time};

use crate::app::AppState;
use crate::error::{ApiError, Code};
use crate::http::query::{Position, TailQuery};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// A subscriber at its start.
pub(super) struct Start {
    pub(super) subscriber: Subscriber,
    /// From where each stream is told.
    pub(super) positions: Vec<(StreamName, Cursor)>,
    /// Streams of which a verdict is delivered first.
    pub(super) unjudged: Vec<StreamName>,
    /// What has been taken from the subscriber already.
    pub(super) first: Vec<Delivery>,
}

impl Start {
    /// Subscribes to each of the streams. One that the position does not cover begins now.
    pub(super) async fn begin(
        state: &AppState,
        streams: Vec<StreamName>,
        query: &TailQuery,
    ) -> Result<Self, ApiError> {
        let streams_max = state.config.limits.subscriptions_max.min(STREAMS_PER_CURSOR_MAX);
        if streams.len() > streams_max {
            return Err(ReadError::TooManySubscriptions(streams_max).into());
        }
        check_coverage(query.position.as_ref(), &streams)?;
        let config = SubscriberConfig {
            order: Order::ByTime,
            streams_max,
            ephemeral: false,
        };
        let mut subscriber = Subscriber::new(state.log.clone(), config);
        let (mut positions, mut unjudged) = (Vec::with_capacity(streams.len()), Vec::new());
        for stream in streams {
            let from = query.position.as_ref().and_then(|p| p.in_stream(&stream));
            let from = from.unwrap_or(From::Now);
            let joined = subscriber
                .subscribe(stream.clone(), from, query.until, query.filter.clone())
                .await?;
            let position = match (joined.verdict, from) {
                (Verdict::Continuous, _) => joined.cursor,
                // Until the verdict is told the client stands where it said.
                (_, From::Cursor(cursor)) => cursor,
                (_, From::Start) => Cursor::START,
                _ => joined.cursor,
            };
            if joined.verdict != Verdict::Continuous {
                unjudged.push(stream.clone());
            }
            positions.push((stream, position));
        }
        Ok(Self {
            subscriber,
            positions,
            unjudged,
            first: Vec::new(),
        })
    }

    /// Whether there is nothing left to deliver, now and for ever: `until` has passed, and every stream has reached
    /// it. What has to be taken from the subscriber to find out is kept in `first`.
    pub(super) async fn has_ended(&mut self, query: &TailQuery) -> bool {
        if query.until.is_none_or(|until| until.ms >= time::now_ms()) {
            return false;
        }
        let deadline = tokio::time::Instant::now() + TAIL_ENDED_WAIT;
        while self.subscriber.positions().next().is_some() && self.first.iter().all(is_silent) {
            let next = self.subscriber.next(1, &mut self.first);
            if tokio::time::timeout_at(deadline, next).await.is_err() {
                return false;
            }
        }
        self.first.iter().all(is_silent)
    }
}

/// A cursor must say where to begin in at least one of the streams: else every event since would be passed over in
/// silence. A stream of a merged tail that it does not cover is new in that tail.
fn check_coverage(position: Option<&Position>, streams: &[StreamName]) -> Result<(), ApiError> {
    let problem = match position {
        Some(Position::One(_)) if streams.len() > 1 => {
            "is a position in one stream, but several are asked for"
        }
        Some(position) if streams.iter().all(|stream| position.in_stream(stream).is_none()) => {
            "covers none of the streams that are asked for"
        }
        _ => return Ok(()),
    };
    let message = format!("the cursor {problem}; pass back a cursor of this same tail");
    Err(ApiError::new(Code::InvalidParameter, message))
}

/// Whether a delivery tells nothing that a client which comes back does not know.
fn is_silent(delivery: &Delivery) -> bool {
    matches!(
        delivery,
        Delivery::CaughtUp { .. }
            | Delivery::Ended { .. }
            | Delivery::Passed { .. }
            | Delivery::Degraded { .. }
            | Delivery::Restored { .. }
    )
}

/// What a browser's `EventSource` says it has seen last.
pub(super) struct LastEventId {
    pub(super) position: Position,
    pub(super) text: String,
}

/// Reads the header, if there is one; a client that has seen nothing may also send it empty.
pub(super) fn last_event_id(headers: &HeaderMap) -> Result<Option<LastEventId>, ApiError> {
    let Some(value) = headers.get(LAST_EVENT_ID) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or("?").trim();
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse() {
        Ok(position @ (Position::One(_) | Position::Many(_))) => Ok(Some(LastEventId {
            position,
            text: text.to_owned(),
        })),
        _ => Err(ApiError::new(
            Code::InvalidParameter,
            "header Last-Event-ID: not a cursor; send the last \"id:\" of this event stream unchanged",
        )),
    }
}
