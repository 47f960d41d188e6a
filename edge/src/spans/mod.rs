//! Spans for OpenTelemetry: what this edge did in a trace that a client has begun and wants recorded, as the sampled flag of
//! its `traceparent` says. Weir begins no trace of its own, and for all others this costs one comparison.
//!
//! | span | kind | parent |
//! |---|---|---|
//! | `POST /v1/streams/{name}` | server | what the client sent; its ID is that of the `traceparent` of the answer |
//! | `publish STREAM` | producer | the connection, or what the frame brought: a publish over WebSocket or Socket.IO |
//! | `deliver STREAM` | consumer | what is stored with the event, to which it is also linked: one for each subscriber |
//!
//! They are exported with OTLP if the program was built with the feature `otlp`; else all of this does nothing.

#[cfg(not(feature = "otlp"))]
mod absent;
#[cfg(feature = "otlp")]
mod otlp;

#[cfg(not(feature = "otlp"))]
use absent as exporter;
#[cfg(feature = "otlp")]
use otlp as exporter;

pub use exporter::{AVAILABLE, install, shutdown};
pub(crate) use exporter::{delivered, deliveries, now_if_wanted, published, request};

/// A publish over a connection, as its span tells it.
#[cfg_attr(not(feature = "otlp"), expect(dead_code, reason = "there are no spans"))]
pub(crate) struct Published<'a> {
    pub(crate) transport: &'static str,
    pub(crate) stream: &'a shared::StreamName,
    /// The span itself.
    pub(crate) trace: shared::trace::TraceParent,
    /// The ID of the span above it.
    pub(crate) parent: u64,
    /// When it was handed to the log; without it there is no span.
    pub(crate) begun: Option<std::time::SystemTime>,
}
