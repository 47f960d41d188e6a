//! The tail's loop: connect, hear which keys rang, have them read, check; and all over again when the connection is
//! lost. How they are read is in [`super::reads`].

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use redis::cmd;
use shared::limits::{TAIL_CHECK_INTERVAL, TAIL_CHECKS_PER_INTERVAL_MAX, TAIL_PING_INTERVAL, TAIL_TIMEOUT};
use tokio::time::{MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::super::TailMode;
use super::super::absence::Absence;
use super::super::connect::Connector;
use super::super::fault::Fault;
use super::super::gauge::Usable;
use super::super::keys::KeyTemplate;
use super::super::parse;
use super::super::topology::Guide;
use super::super::wire::{Pipe, drive, reply};
use super::blocking::Blocking;
use super::doorbell::{Doorbell, Wish};
use super::followed::Followed;
use super::later::Later;
use super::opening::{Tracked, open};
use super::outage::Outage;
use super::tracking::Tracking;
use crate::Channel;
use crate::backoff::Backoff;

/// Follows streams until `stop` is cancelled.
pub(super) async fn run(
    connector: Connector,
    guide: Guide,
    keys: KeyTemplate,
    mode: TailMode,
    doorbell: Arc<Doorbell>,
    absence: Arc<Absence>,
    stop: CancellationToken,
) {
    let mut tail = TailLoop {
        tracking: Tracking::new(keys.prefix()),
        guide,
        keys,
        doorbell,
        absence,
        streams: HashMap::new(),
        dirty: VecDeque::new(),
        later: Later::default(),
        check_queue: VecDeque::new(),
        blocking: None,
        outage: Outage::default(),
        asked_at: None,
    };
    let mut backoff = Backoff::new();
    let mut told = false;
    loop {
        let attempt = async {
            let opening = open(&connector, tail.doorbell.button(), mode);
            let (pipe, mut driver, tracking) = tail.meanwhile(opening).await?;
            tail.begin(&connector, tracking)?;
            backoff.reset();
            told = false;
            let _usable = Usable::count("tail");
            drive(&mut driver, tail.follow(&pipe)).await
        };
        let fault = tokio::select! {
            () = stop.cancelled() => return,
            ended = attempt => ended,
        };
        tail.lost();
        metrics::counter!("weir_tail_reconnects_total").increment(1);
        let pause = backoff.next_pause();
        match fault {
            // Once: how long it lasts is seen by when it is connected again.
            Err(fault) if !std::mem::replace(&mut told, true) => warn!(
                ?fault,
                ?pause,
                "the tail lost Redis, it reads every stream again when it is back"
            ),
            Err(fault) => debug!(?fault, ?pause, "the tail still has no Redis"),
            Ok(()) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tail.meanwhile(tokio::time::sleep(pause)) => {}
        }
    }
}

/// The key of a stream, shared by everything that names it.
pub(super) type Key = Arc<[u8]>;
/// What is followed.
pub(super) type Streams = HashMap<Key, Followed>;

/// Everything the loop owns. Survives connections.
pub(super) struct TailLoop {
    pub(super) guide: Guide,
    keys: KeyTemplate,
    doorbell: Arc<Doorbell>,
    absence: Arc<Absence>,
    pub(super) streams: Streams,
    /// Keys to read, first come first served: under load each stream collects entries while it waits for its turn,
    /// so that its next read brings several. A stream that is in here says so itself.
    pub(super) dirty: VecDeque<Key>,
    /// Streams that come into that line when it is time; they say that they are in it.
    later: Later,
    /// Streams in the order in which their counters are checked.
    check_queue: VecDeque<(Key, Arc<Channel>)>,
    tracking: Tracking,
    blocking: Option<Blocking>,
    outage: Outage,
    /// When the server was asked for what it has yet to answer.
    asked_at: Option<Instant>,
}

impl TailLoop {
    /// A connection was opened. Every stream is read once after this.
    fn begin(&mut self, connector: &Connector, tracked: Tracked) -> Result<(), Fault> {
        self.blocking = None;
        self.outage.connected();
        self.tracking.begin(Instant::now());
        match tracked {
            Some(Ok(())) => {}
            Some(Err(why)) if self.guide.in_cluster() => {
                let why = why.into_unavailable().0;
                let said = format!("a Redis Cluster is followed by client tracking alone, and {why}");
                return Err(Fault::Refused(said.into()));
            }
            Some(Err(why)) => {
                warn!(
                    ?why,
                    "the server refuses client tracking; the tail falls back to blocking reads"
                );
                self.blocking = Some(Blocking::new(connector.clone(), self.doorbell.clone()));
            }
            None => self.blocking = Some(Blocking::new(connector.clone(), self.doorbell.clone())),
        }
        self.dirty.extend(self.later.take_all());
        self.mark_all();
        info!(
            streams = self.streams.len(),
            blocking = self.blocking.is_some(),
            "the tail is connected"
        );
        Ok(())
    }

    /// There is no connection any more.
    fn lost(&mut self) {
        self.absence.begin();
        self.outage
            .lost(self.asked_at.take().unwrap_or_else(Instant::now));
        self.guide.lost();
    }

    /// Waits for `work` while there is no connection, and tells meanwhile who has to know.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = self.outage.due() => {
                    self.outage.tell();
                    self.tell_outage();
                }
                // In a cluster a stream may come here that another node had, and be away from now on.
                () = self.doorbell.rung() => {
                    let changes = self.doorbell.take_changes();
                    if !changes.is_empty() {
                        self.take_changes(changes);
                        self.tell_outage();
                    }
                }
            }
        }
    }

    /// Tells everybody that the node is away, if it is time for that; those who know it already are not told again.
    fn tell_outage(&self) {
        if let Some(since_ms) = self.outage.told_since_ms() {
            self.streams.values().for_each(|followed| followed.lose(since_ms));
        }
    }

    /// Reads what rings, until the connection fails.
    async fn follow(&mut self, pipe: &Pipe) -> Result<(), Fault> {
        let mut checks = tokio::time::interval(TAIL_CHECK_INTERVAL);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard_at = Instant::now();
        let mut latency = None;
        loop {
            self.take_news();
            self.take_due();
            self.adapt_tracking(pipe).await?;
            if self.dirty.is_empty() {
                self.absence.end();
                self.outage.over();
                tokio::select! {
                    () = self.doorbell.rung() => {}
                    () = self.later.due() => {}
                    _ = checks.tick() => {
                        self.queue_checks();
                        if self.dirty.is_empty() && heard_at.elapsed() >= TAIL_PING_INTERVAL {
                            self.asked_at = Some(Instant::now());
                            ask(pipe, |out| {
                                cmd("PING").write_packed_command(out);
                                1
                            })
                            .await?;
                            heard_at = self.answered();
                        }
                    }
                }
                continue;
            }
            let started = Instant::now();
            self.asked_at = Some(started);
            self.read_dirty(pipe).await?;
            heard_at = self.answered();
            latency
                .get_or_insert_with(|| metrics::histogram!("weir_redis_latency_seconds", "op" => "tail"))
                .record(started.elapsed());
        }
    }

    /// What was asked is answered.
    fn answered(&mut self) -> Instant {
        self.asked_at = None;
        Instant::now()
    }

    /// Has the server ring in the way that suits the number of streams.
    async fn adapt_tracking(&mut self, pipe: &Pipe) -> Result<(), Fault> {
        if self.blocking.is_some() {
            return Ok(());
        }
        let Some(commands) = self.tracking.change(self.streams.len(), Instant::now()) else {
            return Ok(());
        };
        let replies = ask(pipe, |out| {
            out.extend(commands.get_packed_pipeline());
            commands.len()
        });
        let changed = replies.await.and_then(|replies| {
            let fine = |reply| parse::ok(reply).map(drop);
            reply::values(&replies)?.into_iter().try_for_each(fine)
        });
        if let Err(fault) = changed {
            // It is not known what rings now; another connection begins as this one did.
            self.tracking.refused(Instant::now());
            return Err(fault);
        }
        self.tracking.accepted();
        debug!(streams = self.streams.len(), tracking = ?self.tracking, "the tail's bell is arranged anew");
        self.mark_all();
        Ok(())
    }

    /// Puts a stream in line to be read, unless it is there already.
    pub(super) fn mark(&mut self, key: &[u8]) {
        let Some((key, _)) = self.streams.get_key_value(key) else {
            return;
        };
        let key = key.clone();
        if let Some(followed) = self.streams.get_mut(&key)
            && !std::mem::replace(&mut followed.queued, true)
        {
            self.dirty.push_back(key);
        }
    }

    /// A stream may have news: it is read now, or when its subscribers are to be told.
    fn rang(&mut self, key: &[u8], now: Instant) {
        let followed = self.streams.get(key).filter(|followed| !followed.queued);
        // A blocking read rings again and again for what is not fetched.
        let quiet = followed
            .filter(|_| self.blocking.is_none())
            .and_then(|followed| followed.channel.quiet_until(now));
        match (quiet, self.streams.get_key_value(key)) {
            (Some(until), Some((key, _))) => {
                let key = key.clone();
                self.later.push(until, key.clone());
                self.streams
                    .entry(key)
                    .and_modify(|followed| followed.queued = true);
            }
            _ => self.mark(key),
        }
    }

    /// Puts those in line whose time has come.
    fn take_due(&mut self) {
        let now = Instant::now();
        while let Some(key) = self.later.take(now) {
            if self.streams.get(&key).is_some_and(|followed| followed.queued) {
                self.dirty.push_back(key);
            }
        }
    }

    fn mark_all(&mut self) {
        for (key, followed) in &mut self.streams {
            if !std::mem::replace(&mut followed.queued, true) {
                self.dirty.push_back(key.clone());
            }
        }
    }

    /// Takes over what the doorbell has collected.
    fn take_news(&mut self) {
        let news = self.doorbell.take();
        self.take_changes(news.changes);
        if news.all_dirty {
            self.mark_all();
        }
        let now = Instant::now();
        for key in &news.dirty {
            self.tracking.rang(self.streams.contains_key(&key[..]));
            self.rang(key, now);
        }
        if let Some(blocking) = &mut self.blocking {
            blocking.follow(&self.streams);
        }
    }

    /// Follows streams, and lets some go.
    fn take_changes(&mut self, changes: Vec<(Wish, Arc<Channel>)>) {
        for (wish, channel) in changes {
            let key: Key = self.keys.stream_key(channel.stream()).into_bytes().into();
            match wish {
                Wish::Follow { asking } => {
                    self.check_queue.push_back((key.clone(), channel.clone()));
                    self.streams.insert(key.clone(), Followed::new(channel, asking));
                    self.mark(&key);
                }
                Wish::LetGo => {
                    let follows = |followed: &Followed| Arc::ptr_eq(&followed.channel, &channel);
                    if self.streams.get(&key).is_some_and(follows) {
                        self.streams.remove(&key);
                    }
                }
            }
        }
    }

    /// Marks the streams whose check is due, a bounded number at a time, in turn.
    fn queue_checks(&mut self) {
        let turns = self.check_queue.len().min(TAIL_CHECKS_PER_INTERVAL_MAX);
        for _ in 0..turns {
            let Some((key, channel)) = self.check_queue.pop_front() else {
                return;
            };
            // Let go, and perhaps followed anew in another place of the queue: it leaves this one.
            let followed = self
                .streams
                .get_mut(&key)
                .filter(|f| Arc::ptr_eq(&f.channel, &channel));
            let Some(followed) = followed else { continue };
            if followed.checked_at.elapsed() >= CHECK_EVERY {
                followed.must_verify();
                self.mark(&key);
            }
            self.check_queue.push_back((key, channel));
        }
    }
}

/// Asks over the tail's connection, while it is driven. `write` adds the commands and returns how many replies they get.
pub(super) async fn ask(pipe: &Pipe, write: impl FnOnce(&mut Vec<u8>) -> usize) -> Result<Vec<u8>, Fault> {
    match timeout(TAIL_TIMEOUT, pipe.push(write)).await {
        Ok(answer) => answer.map_err(|_| Fault::CONNECTION_LOST),
        Err(_) => Err(Fault::Lost("Redis does not answer")),
    }
}

/// Each stream's counters are checked this often, or less often when there are very many.
const CHECK_EVERY: std::time::Duration = std::time::Duration::from_secs(2);
