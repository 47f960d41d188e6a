//! Correlation: every connection and every request has a name in the logs.
//!
//! A request's name is its trace ID (W3C Trace Context): the client's own if it sends a `traceparent`, a new one
//! otherwise. It is answered in the `traceparent` response header.

use std::fmt;

use axum::http::HeaderMap;
use shared::trace::TraceParent;

/// Names a connection in the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnectionId(u64);

impl ConnectionId {
    /// A name that no other connection is likely to have.
    pub fn random() -> Self {
        Self(fastrand::u64(..))
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The trace context of a request; an extension of every request.
#[derive(Debug, Clone, Copy)]
pub struct RequestTrace {
    /// What the client sent, if it is valid: stored with what is published.
    pub received: Option<TraceParent>,
    /// This request within the trace: answered to the client, and the correlation ID of the logs.
    pub own: TraceParent,
}

impl RequestTrace {
    /// The trace of a request with these headers.
    pub fn of(headers: &HeaderMap) -> Self {
        let received = headers
            .get("traceparent")
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.parse::<TraceParent>().ok());
        let own = match received {
            Some(parent) => parent.child(fastrand::u64(..)),
            None => TraceParent::new(fastrand::u128(..), fastrand::u64(..)),
        };
        Self { received, own }
    }

    /// The trace ID: what finds this request in the logs.
    pub fn id(&self) -> impl fmt::Display + use<> {
        struct TraceId(u128);
        impl fmt::Display for TraceId {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }
        TraceId(self.own.trace_id)
    }
}
