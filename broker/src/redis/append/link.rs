//! A lane's connection: open, lost, waited for, opened again. Says nothing about what is sent over it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use redis::PushInfo;
use redis::aio::MultiplexedConnection;
use shared::limits::{APPEND_BATCHES_IN_FLIGHT_MAX, CONNECT_TIMEOUT};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::super::connect::{Connector, Purpose};
use super::super::fault::Fault;
use super::super::keys::KeyTemplate;
use super::super::parse;
use crate::backoff::Backoff;

/// What others see of a lane's connection: itself, or why there is none.
pub(super) type LinkState = Result<MultiplexedConnection, &'static str>;

/// One connection that comes back when it is lost.
pub(super) struct Link {
    connector: Connector,
    probe: redis::Cmd,
    backoff: Backoff,
    phase: Phase,
    shown: watch::Sender<LinkState>,
}

type Opening = Pin<Box<dyn Future<Output = Result<(MultiplexedConnection, Arc<Notify>), Fault>> + Send>>;

enum Phase {
    Down {
        until: Instant,
    },
    Opening(Opening),
    Up {
        connection: MultiplexedConnection,
        lost: Arc<Notify>,
    },
}

/// What happened to a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It can be used.
    Up,
    /// The connection is gone; what was in flight has no answer. Call [`Link::down`].
    Lost,
}

impl Link {
    /// Not connected yet, and begins at once.
    pub(super) fn new(connector: Connector, keys: &KeyTemplate) -> (Self, watch::Receiver<LinkState>) {
        let (shown, seen) = watch::channel(Err("not connected to Redis yet"));
        let link = Self {
            connector,
            probe: probe(keys),
            backoff: Backoff::new(),
            phase: Phase::Down {
                until: Instant::now(),
            },
            shown,
        };
        (link, seen)
    }

    /// The connection, while it is up.
    pub(super) fn connection(&self) -> Option<&MultiplexedConnection> {
        match &self.phase {
            Phase::Up { connection, .. } => Some(connection),
            _ => None,
        }
    }

    /// Why nothing can be sent.
    pub(super) fn why(&self) -> &'static str {
        match &*self.shown.borrow() {
            Ok(_) => "Redis answers too slowly",
            Err(why) => why,
        }
    }

    /// Gives the connection up. It is opened again after a pause.
    pub(super) fn down(&mut self, why: &'static str) {
        let pause = self.backoff.next_pause();
        let known = self.shown.borrow().as_ref().is_err_and(|known| *known == why);
        if known {
            debug!(why, ?pause, "still no connection for appends");
        } else {
            warn!(why, ?pause, "no connection for appends");
        }
        drop(self.shown.send_replace(Err(why)));
        self.phase = Phase::Down {
            until: Instant::now() + pause,
        };
    }

    /// Waits for the next change. Cancel-safe.
    pub(super) async fn changed(&mut self) -> Change {
        loop {
            match &mut self.phase {
                Phase::Down { until } => {
                    tokio::time::sleep_until(*until).await;
                    let opening = open(self.connector.clone(), self.probe.clone());
                    self.phase = Phase::Opening(Box::pin(opening));
                }
                Phase::Opening(opening) => match opening.await {
                    Ok((connection, lost)) => {
                        info!("connected to Redis for appends");
                        self.backoff.reset();
                        drop(self.shown.send_replace(Ok(connection.clone())));
                        self.phase = Phase::Up { connection, lost };
                        return Change::Up;
                    }
                    Err(Fault::Lost(why) | Fault::NotNow(why)) => self.down(why),
                    Err(fault) => {
                        warn!(?fault, "Redis answers strangely to a probe");
                        self.down("Redis answers with something unexpected");
                    }
                },
                Phase::Up { lost, .. } => {
                    lost.notified().await;
                    return Change::Lost;
                }
            }
        }
    }
}

/// Opens a connection and makes sure that the server takes writes now: not while it loads, not as a replica.
async fn open(
    connector: Connector,
    probe: redis::Cmd,
) -> Result<(MultiplexedConnection, Arc<Notify>), Fault> {
    let lost = Arc::<Notify>::default();
    let notify = Arc::clone(&lost);
    let purpose = Purpose {
        response_timeout: None,
        // As many as there can be in flight: so a batch is always handed over at once, and in order.
        queued_max: APPEND_BATCHES_IN_FLIGHT_MAX * 2,
        pushes: Some(Arc::new(move |push: PushInfo| {
            if push.kind == redis::PushKind::Disconnection {
                notify.notify_one();
            }
            Ok::<(), redis::aio::SendError>(())
        })),
    };
    let mut connection = connector.open(&purpose).await.map_err(|e| Fault::of(&e))?;
    match run_probe(&mut connection, &probe).await {
        // Other faults are for each append to find out.
        Err(fault @ (Fault::Lost(_) | Fault::NotNow(_))) => Err(fault),
        _ => Ok((connection, lost)),
    }
}

/// A write that does nothing, and is refused whenever an append would be: `XADD` to a stream that does not exist
/// and must not be created. No stream can have this name.
pub(super) fn probe(keys: &KeyTemplate) -> redis::Cmd {
    redis::cmd("XADD")
        .arg(keys.probe_key())
        .arg("NOMKSTREAM")
        .arg("*")
        .arg("d")
        .arg("1")
        .take()
}

/// Runs a [`probe`]. Takes [`CONNECT_TIMEOUT`] at the most.
pub(super) async fn run_probe(
    connection: &mut MultiplexedConnection,
    probe: &redis::Cmd,
) -> Result<(), Fault> {
    let answer = tokio::time::timeout(CONNECT_TIMEOUT, connection.send_packed_command(probe));
    match answer.await {
        Err(_) => Err(Fault::Lost("Redis does not answer")),
        Ok(Err(error)) => Err(Fault::of(&error)),
        Ok(Ok(reply)) => parse::ok(reply).map(drop),
    }
}
