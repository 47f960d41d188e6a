//! The engine behind Redis Sentinel: real servers and Sentinels, which make a primary of the replica.
#![allow(clippy::unwrap_used)]

// Shared with the tests of the engine on one server.
#[allow(dead_code)]
#[path = "../redis_engine/support.rs"]
mod support;

mod durability;
mod fail_over;
mod finding;
