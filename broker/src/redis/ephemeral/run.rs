//! The task: connect, subscribe to what is wanted, send what is to be sent; and all over again when the connection is
//! lost.

use std::sync::Arc;
use std::time::Instant;

use redis::aio::MultiplexedConnection;
use redis::{Pipeline, Value, cmd};
use shared::limits::{EPHEMERAL_BATCH_MAX, EPHEMERALS_QUEUED_MAX, TAIL_PING_INTERVAL, TAIL_TIMEOUT};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::super::connect::{Connection, Connector, Purpose};
use super::super::fault::Fault;
use super::super::gauge::Usable;
use super::super::parse;
use super::super::topology::Guide;
use super::Outgoing;
use super::directory::{Changes, Directory};
use crate::backoff::Backoff;

/// Exchanges events until `stop` is cancelled.
pub(super) async fn run(
    connector: Connector,
    guide: Guide,
    directory: Arc<Directory>,
    mut outgoing: mpsc::Receiver<Outgoing>,
    stop: CancellationToken,
) {
    let mut backoff = Backoff::new();
    let mut told = false;
    loop {
        let attempt = async {
            let purpose = Purpose {
                response_timeout: TAIL_TIMEOUT,
                pushes: Some(directory.ear()),
            };
            let connection = connector.open(&purpose).await.map_err(|e| Fault::of(&e))?;
            backoff.reset();
            told = false;
            directory.up();
            let _usable = Usable::count("ephemeral");
            info!("connected to Redis for ephemeral events");
            exchange(connection, &directory, &mut outgoing).await
        };
        let fault = tokio::select! {
            () = stop.cancelled() => None,
            fault = attempt => fault.err(),
        };
        directory.down();
        // What moved away is wanted elsewhere by the time that this is back.
        match &fault {
            Some(Fault::Moved(redirect)) => guide.redirected(redirect),
            _ => guide.lost(),
        }
        if stop.is_cancelled() {
            return;
        }
        // What waits is old when the connection is back.
        while outgoing.try_recv().is_ok() {}
        let pause = backoff.next_pause();
        if std::mem::replace(&mut told, true) {
            debug!(?fault, ?pause, "still no connection for ephemeral events");
        } else {
            warn!(
                ?fault,
                ?pause,
                "no connection for ephemeral events, none come or go until it is back"
            );
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Subscribes and sends until the connection fails.
async fn exchange(
    mut connection: Connection,
    directory: &Directory,
    outgoing: &mut mpsc::Receiver<Outgoing>,
) -> Result<(), Fault> {
    let mut pings = tokio::time::interval(TAIL_PING_INTERVAL);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard_at = Instant::now();
    let mut batch = Vec::new();
    let mut told_refused = false;
    loop {
        let mut pipe = Pipeline::new();
        tokio::select! {
            () = directory.changed() => {}
            event = outgoing.recv() => match event {
                Some(event) => batch.push(event),
                None => return Err(Fault::Lost("the log is shutting down")),
            },
            _ = pings.tick() => {
                if heard_at.elapsed() >= TAIL_PING_INTERVAL {
                    pipe.add_command(cmd("PING"));
                }
            }
        }
        let changes = directory.take(EPHEMERAL_BATCH_MAX);
        if changes.lost {
            return Err(Fault::CONNECTION_LOST);
        }
        // All that was sent before somebody began to listen goes out before that, so that it does not come to them.
        while batch.len() < EPHEMERALS_QUEUED_MAX
            && let Ok(event) = outgoing.try_recv()
        {
            batch.push(event);
        }
        for event in batch.drain(..) {
            pipe.cmd("SPUBLISH").arg(&event.channel).arg(&event.payload);
        }
        subscriptions(&mut pipe, &changes);
        if !pipe.is_empty() {
            let refused = ask(&mut connection, &pipe).await?;
            heard_at = Instant::now();
            if let Some(fault) = refused {
                if std::mem::replace(&mut told_refused, true) {
                    debug!(?fault, "Redis refused ephemeral events or their channels again");
                } else {
                    warn!(?fault, "Redis refused ephemeral events or their channels");
                }
            }
        }
        for (_, channel) in changes.listen {
            channel.listening();
        }
    }
}

/// Each channel by itself: so each has one answer, and if one is refused the others are not.
fn subscriptions(pipe: &mut Pipeline, changes: &Changes) {
    for (name, _) in &changes.listen {
        pipe.cmd("SSUBSCRIBE").arg(&**name);
    }
    for name in &changes.unlisten {
        pipe.cmd("SUNSUBSCRIBE").arg(&**name);
    }
}

/// Runs commands. Returns why one of them was refused for good: that does not end the connection, as it would be refused
/// on the next as well.
async fn ask(connection: &mut MultiplexedConnection, pipe: &Pipeline) -> Result<Option<Fault>, Fault> {
    let replies = connection.send_packed_commands(pipe, 0, pipe.len()).await;
    let replies: Vec<Value> = replies.map_err(|e| Fault::of(&e))?;
    let mut refused = None;
    for reply in replies {
        match parse::ok(reply) {
            Ok(_) => {}
            Err(fault @ (Fault::NotNow(_) | Fault::Lost(_) | Fault::Moved(_))) => return Err(fault),
            Err(fault) => refused = Some(fault),
        }
    }
    Ok(refused)
}
