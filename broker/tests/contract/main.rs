//! The contract of a log: one suite, run against each engine. `cargo test -p broker --test contract memory::` runs
//! one part, `redis::doorbell::`, `redis::blocking::` and
//! `cluster::` the others.
//!
//! Each case is an async function over a [`Fixture`], which brings up a fresh log of one engine and does to its
//! streams what only that engine's operator or another client could do. The cases wait for conditions, under a
//! deadline, and use IDs that the log gave, so that none depends on how fast the machine is.
#![allow(clippy::unwrap_used)]

#[macro_use]
mod suite;

mod cluster;
mod fixture;
mod memory;
mod redis;

mod append;
mod edges;
mod ephemeral;
mod filter;
mod join;
mod live;
mod model;
mod raw;
mod read;
mod retention;
mod sessions;
mod subscribe;
mod tail;
mod verdict;

pub(crate) use fixture::*;
