//! The HTTP interface, over real sockets: publishing, uploads, pages, what operators ask, what attackers send, and the
//! end of an edge.

#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod client;
mod curl;
mod drain;
mod durability;
mod flaky;
mod hostile;
mod ops;
mod pages;
mod publish;
mod upload_faults;
mod uploads;
