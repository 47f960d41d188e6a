//! Engine.IO, tried on real servers: by clients that follow the rules, and by some that do not.

#![allow(clippy::unwrap_used, unreachable_pub)]

mod client;
mod forwarding;
mod heartbeat;
mod hostile;
mod lab;
mod last_words;
mod official;
mod opening;
mod patience;
mod polling;
mod raw;
mod upgrade;
