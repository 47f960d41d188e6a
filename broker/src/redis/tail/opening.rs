//! How the tail's connection is opened, with its bell.

use redis::cmd;

use super::super::TailMode;
use super::super::connect::Connector;
use super::super::fault::Fault;
use super::super::parse;
use super::super::wire::{Driver, Pipe, Pushes};

/// What the server said to client tracking, if it was asked.
pub(super) type Tracked = Option<Result<(), Fault>>;

/// Opens a connection on which `button` rings.
pub(super) async fn open(
    connector: &Connector,
    button: Pushes,
    mode: TailMode,
) -> Result<(Pipe, Driver, Tracked), Fault> {
    let first = match mode {
        TailMode::Blocking => cmd("PING"),
        TailMode::Auto => cmd("CLIENT").arg("TRACKING").arg("ON").take(),
    };
    let (pipe, driver, reply) = Pipe::open(connector, &first, Some(button)).await?;
    let done = reply.and_then(parse::ok).map(drop);
    let tracked = match (mode, done) {
        (TailMode::Blocking, done) => done.map(|()| None)?,
        (TailMode::Auto, Err(fault @ (Fault::Lost(_) | Fault::NotNow(_)))) => return Err(fault),
        (TailMode::Auto, done) => Some(done),
    };
    Ok((pipe, driver, tracked))
}
