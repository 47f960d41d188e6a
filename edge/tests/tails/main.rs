//! Live tails over HTTP, against a running edge in this process: what a client is told, and that nothing is lost or
//! doubled whatever happens to the connection.
//!
//! Needs `redis-server`, `curl`, `jq` and Node 18 or newer with the packages of `edge/tests/js` (`npm ci` in there);
//! a test that does not find what it needs fails and says so.

#![allow(clippy::unwrap_used, unreachable_pub)]

mod client;
mod cutting_proxy;
mod engines;
mod program;
#[allow(dead_code)]
mod sse_parser;
#[path = "../support/mod.rs"]
mod support;

mod curl;
mod cuts;
mod ends;
mod event_source;
mod leaving;
mod told;
