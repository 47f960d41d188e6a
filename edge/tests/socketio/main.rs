//! Socket.IO with the official client: everything but streams.

#![allow(clippy::unwrap_used, unreachable_pub)]

mod application;
mod binary;
mod client;
mod ends;
mod events;
mod hostile;
mod namespaces;
mod raw;
mod server;
mod transports;
