//! A connection for commands that write: open, lost, waited for, opened again. Says nothing about what is sent over it.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use shared::limits::{APPEND_ANSWER_TIMEOUT, LINK_PROBE_INTERVAL};
use shared::time;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};
use tracing::{debug, info, warn};

use super::connect::Connector;
use super::fault::Fault;
use super::gauge::Usable;
use super::keys::KeyTemplate;
use super::parse;
use super::wire::{Driver, Pipe};
use crate::Away;
use crate::backoff::Backoff;

/// What others see of a link: its connection, or why there is none.
pub(super) type LinkState = Result<Connected, Away>;

/// An open connection.
#[derive(Clone)]
pub(super) struct Connected {
    /// The connection itself.
    pub(super) pipe: Pipe,
    given_up: Arc<AtomicBool>,
}

impl Connected {
    /// Says that the connection is of no use any more, as one that does not answer. The link opens another.
    pub(super) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
        self.pipe.wake();
    }

    /// Whether somebody has said so.
    pub(super) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }
}

/// One connection that comes back when it is lost.
pub(super) struct Link {
    connector: Connector,
    /// What it is for, as the log of the process says it.
    what: &'static str,
    probe: redis::Cmd,
    backoff: Backoff,
    phase: Phase,
    /// Since when there has been no connection.
    away_since: Option<Instant>,
    /// Whether one was lost, or could not be opened: until then it is just being opened.
    failed: bool,
    shown: watch::Sender<LinkState>,
}

type Opening = Pin<Box<dyn Future<Output = Result<(Pipe, Driver), Fault>> + Send>>;

type Watching = Pin<Box<dyn Future<Output = Change> + Send>>;

enum Phase {
    Down(Pin<Box<Sleep>>),
    Opening(Opening),
    Up {
        connected: Connected,
        driver: Box<Driver>,
        watching: Watching,
        /// It counts for as long as it is here.
        _usable: Usable,
    },
}

/// What happened to a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It can be used.
    Up,
    /// The connection is gone; what was in flight has no answer. Call [`Link::down`].
    Lost,
    /// It is open, and somebody has given it up, or the server does not take writes on it. What was in flight may still be
    /// answered. Call [`Link::down`] then, or [`Link::leave`].
    Useless(&'static str),
}

impl Link {
    /// Not connected yet, and begins at once. `what` says what for.
    pub(super) fn new(
        connector: Connector,
        keys: &KeyTemplate,
        what: &'static str,
    ) -> (Self, watch::Receiver<LinkState>) {
        let (shown, seen) = watch::channel(Err(Away {
            why: "not connected to Redis yet",
            since_ms: time::now_ms(),
        }));
        let probe = probe(keys);
        let opening = open(connector.clone(), probe.clone());
        let link = Self {
            connector,
            what,
            probe,
            backoff: Backoff::new(),
            phase: Phase::Opening(Box::pin(opening)),
            away_since: Some(Instant::now()),
            failed: false,
            shown,
        };
        (link, seen)
    }

    /// The connection, while it is up. What is handed over to it leaves when the link is polled.
    pub(super) fn pipe(&self) -> Option<&Pipe> {
        match &self.phase {
            Phase::Up { connected, .. } => Some(&connected.pipe),
            _ => None,
        }
    }

    /// Why nothing can be sent.
    pub(super) fn why(&self) -> &'static str {
        match &*self.shown.borrow() {
            Ok(_) => "Redis answers too slowly",
            Err(away) => away.why,
        }
    }

    /// For how long the server has been away; `None` if it is not, as far as is known.
    pub(super) fn away_for(&self) -> Option<Duration> {
        self.away_since
            .filter(|_| self.failed)
            .map(|since| since.elapsed())
    }

    /// Gives the connection up. It is opened again after a pause.
    pub(super) fn down(&mut self, why: &'static str) {
        drop(self.close(why));
    }

    /// As [`Link::down`], but those who still wait for answers are not told so yet: whoever gets the driver sees to them.
    pub(super) fn leave(&mut self, why: &'static str) -> Option<Box<Driver>> {
        match self.close(why) {
            Phase::Up { driver, .. } => Some(driver),
            _ => None,
        }
    }

    /// Says that there is no connection, and returns what there was.
    fn close(&mut self, why: &'static str) -> Phase {
        let pause = self.backoff.next_pause();
        let what = self.what;
        if self.away_since.is_some() {
            debug!(why, ?pause, "still no connection for {what}");
        } else {
            warn!(why, ?pause, "no connection for {what}");
        }
        self.shown.send_modify(|shown| {
            let since_ms = shown
                .as_ref()
                .map_or_else(|away| away.since_ms, |_| time::now_ms());
            *shown = Err(Away { why, since_ms });
        });
        self.away_since.get_or_insert_with(Instant::now);
        self.failed = true;
        std::mem::replace(&mut self.phase, Phase::Down(Box::pin(tokio::time::sleep(pause))))
    }

    /// Keeps the connection going, and waits for the next change. Cancel-safe.
    pub(super) async fn changed(&mut self) -> Change {
        poll_fn(|cx| self.poll_changed(cx)).await
    }

    /// [`Link::changed`] for a task that looks at several.
    pub(super) fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<Change> {
        loop {
            match &mut self.phase {
                Phase::Down(pause) => {
                    ready!(pause.as_mut().poll(cx));
                    let opening = open(self.connector.clone(), self.probe.clone());
                    self.phase = Phase::Opening(Box::pin(opening));
                }
                Phase::Opening(opening) => match ready!(opening.as_mut().poll(cx)) {
                    Ok((pipe, driver)) => {
                        info!("connected to Redis for {}", self.what);
                        self.backoff.reset();
                        self.away_since = None;
                        let connected = Connected {
                            pipe: pipe.clone(),
                            given_up: Arc::default(),
                        };
                        drop(self.shown.send_replace(Ok(connected.clone())));
                        self.phase = Phase::Up {
                            driver: Box::new(driver),
                            watching: Box::pin(watch(pipe, self.probe.clone())),
                            connected,
                            _usable: Usable::count(self.what),
                        };
                        return Poll::Ready(Change::Up);
                    }
                    Err(Fault::Lost(why) | Fault::NotNow(why)) => self.down(why),
                    Err(fault) => {
                        warn!(?fault, "Redis answers strangely to a probe");
                        self.down("Redis answers with something unexpected");
                    }
                },
                Phase::Up {
                    connected,
                    driver,
                    watching,
                    ..
                } => {
                    if driver.poll(cx).is_ready() {
                        return Poll::Ready(Change::Lost);
                    }
                    if connected.is_given_up() {
                        return Poll::Ready(Change::Useless("Redis does not answer"));
                    }
                    let change = ready!(watching.as_mut().poll(cx));
                    // It may take until what is in flight is answered before it is given up.
                    *watching = Box::pin(std::future::pending());
                    return Poll::Ready(change);
                }
            }
        }
    }
}

/// Opens a connection and makes sure that the server takes writes now: not while it loads, not as a replica.
async fn open(connector: Connector, probe: redis::Cmd) -> Result<(Pipe, Driver), Fault> {
    let (pipe, driver, reply) = Pipe::open(&connector, &probe, None).await?;
    match reply.and_then(parse::ok) {
        // Other faults are for each append to find out.
        Err(fault @ (Fault::Lost(_) | Fault::NotNow(_))) => Err(fault),
        _ => Ok((pipe, driver)),
    }
}

/// Tries an open connection now and then, until it fails: one that nobody uses at the time would else not be found dead, or
/// to a server that has become a replica, and an edge that says it is not ready may be given nothing to use it for.
async fn watch(pipe: Pipe, probe: redis::Cmd) -> Change {
    loop {
        tokio::time::sleep(LINK_PROBE_INTERVAL).await;
        match run_probe(&pipe, &probe, APPEND_ANSWER_TIMEOUT).await {
            Err(Fault::Lost(_)) => return Change::Lost,
            Err(Fault::NotNow(why)) => return Change::Useless(why),
            _ => {}
        }
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

/// Runs a [`probe`]. Takes `longest` at the most.
pub(super) async fn run_probe(pipe: &Pipe, probe: &redis::Cmd, longest: Duration) -> Result<(), Fault> {
    let mut replies = tokio::time::timeout(longest, pipe.ask(&[probe], None))
        .await
        .unwrap_or(Err(Fault::Lost("Redis does not answer")))?;
    parse::ok(replies.pop().ok_or(Fault::Malformed)?).map(drop)
}
