//! What goes over connections of our own to Redis, and how (RESP,
//! <https://redis.io/docs/latest/develop/reference/protocol-spec/>). The client library makes a value of every command
//! and of every part of a reply first; where much is written or read, requests are made where they are sent from, and
//! replies are read where they came in.
//!
//! | module | owns |
//! |---|---|
//! | [`connection`] | a connection with one request at a time |
//! | [`pipe`] | a connection over which many ask at the same time |
//! | [`drive`] | a task that asks and drives the connection too |
//! | [`request`] | the bytes of commands |
//! | [`reply`] | where replies end, and what is in them |

mod connection;
mod drive;
mod pipe;
pub(super) mod reply;
pub(super) mod request;

pub(super) use connection::Connection;
pub(super) use drive::drive;
pub(super) use pipe::{Answer, Driver, Pipe, Pushes};
