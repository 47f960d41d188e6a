//! The Redis engine on a real server that is made to fail: lost replies, a hung process, restarts, a full memory,
//! a replica, missing permissions. What both engines promise is in `tests/contract`.
#![allow(clippy::unwrap_used)]

mod proxy;
mod refusals;
mod support;

mod cluster;
mod connecting;
mod crowd;
mod ephemeral;
mod half_transaction;
mod hung;
mod idle;
mod keyed_order;
mod lost_replies;
mod outage_notices;
mod reading;
mod restart;
mod retention;
mod sessions;
