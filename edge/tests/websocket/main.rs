//! The WebSocket, tried on a real server: by a client that follows the rules, and by some that do not.

#![allow(clippy::unwrap_used, unreachable_pub)]

#[path = "../support/mod.rs"]
mod support;

mod client;
mod documentation;
mod drain;
mod frames;
mod hostile;
mod opening;
mod patience;
mod raw;
mod redis;
mod resume;
