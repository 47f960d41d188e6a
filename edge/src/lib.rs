//! The thin edge: turns sockets into log operations and back. It owns no durable state, and never speaks to Redis
//! itself: everything below [`broker::Log`] is somebody else's.
//!
//! The way of a request:
//!
//! * [`server`] accepts a connection (bounded, with deadlines) and speaks HTTP/1.1 on it;
//! * [`app`] has the state that all requests share, and the router;
//! * [`http`] is `/v1/streams/{name}`: publish, pages, live tails; [`ws`] is `/v1/ws`, over
//!   [`websocket`], the protocol below it;
//! * [`gateway`] is Socket.IO on streams, over [`socketio`] and [`engineio`], the protocols below it; [`cluster`] takes its
//!   requests to the edges that have their sessions;
//! * [`error`] is the one place that turns an error into a status and a JSON body;
//! * [`origins`] keeps foreign web pages out, [`rate`] slows down who asks too much; [`trace`] names connections and requests in the logs,
//!   [`spans`] records them for OpenTelemetry;
//! * [`metrics`] has one function for each thing that is counted; [`wire_slots`] says which encodings are shared.
//!
//! Around it: [`config`] is everything an operator may set, complete and checked before a port opens; [`cli`] is the
//! command line (`weir serve`, `weir check-config`, `weir health`, `weir tail`, `weir publish`).
//!
//! The references for users are in `docs/`: the configuration, the HTTP interface, live tails, the WebSocket frames,
//! Socket.IO, the command-line clients, and a runbook. In `ops/` is what watches an edge, and what a cluster of
//! containers is made with.

pub mod app;
mod appends;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod engineio;
pub mod error;
#[cfg(test)]
mod fuzz_seeds;
pub mod gateway;
pub mod http;
#[cfg(feature = "measuring")]
pub mod measured;
pub mod metrics;
pub mod origins;
mod page;
mod random;
pub mod rate;
pub mod server;
pub mod socketio;
pub mod spans;
pub mod trace;
mod websocket;
pub mod wire_slots;
pub mod ws;
