//! The tail's loop: connect, hear which keys rang, read them, publish, check; and all over again when the
//! connection is lost.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Pipeline, Value, cmd};
use shared::StreamView;
use shared::limits::{
    LIVE_READ_ENTRIES_TOTAL, LIVE_READ_STREAMS_MAX, TAIL_CHECK_INTERVAL, TAIL_CHECKS_PER_INTERVAL_MAX,
    TAIL_PING_INTERVAL, TAIL_TIMEOUT, TAIL_VERIFY_STREAMS_MAX,
};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::super::TailMode;
use super::super::connect::{Connector, Purpose};
use super::super::fault::Fault;
use super::super::keys::KeyTemplate;
use super::super::parse::{self, RawEntry};
use super::blocking::Blocking;
use super::doorbell::Doorbell;
use super::followed::{Followed, Outcome, Plan};
use crate::Channel;
use crate::backoff::Backoff;

/// Follows streams until `stop` is cancelled.
pub(super) async fn run(
    connector: Connector,
    keys: KeyTemplate,
    mode: TailMode,
    doorbell: Arc<Doorbell>,
    live: Arc<AtomicBool>,
    stop: CancellationToken,
) {
    let mut tail = TailLoop {
        keys,
        doorbell,
        live,
        streams: HashMap::new(),
        dirty: VecDeque::new(),
        check_queue: VecDeque::new(),
        blocking: None,
    };
    let mut backoff = Backoff::new();
    loop {
        let attempt = async {
            let connection = tail.connect(&connector, mode).await?;
            backoff.reset();
            tail.follow(connection).await
        };
        let fault = tokio::select! {
            () = stop.cancelled() => return,
            ended = attempt => ended,
        };
        tail.live.store(false, Ordering::Relaxed);
        metrics::counter!("weir_tail_reconnects_total").increment(1);
        let pause = backoff.next_pause();
        if let Err(fault) = fault {
            warn!(
                ?fault,
                ?pause,
                "the tail lost Redis, it reads every stream again when it is back"
            );
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// The key of a stream, shared by everything that names it.
pub(super) type Key = Arc<[u8]>;
/// What is followed.
pub(super) type Streams = HashMap<Key, Followed>;

/// Everything the loop owns. Survives connections.
struct TailLoop {
    keys: KeyTemplate,
    doorbell: Arc<Doorbell>,
    live: Arc<AtomicBool>,
    streams: Streams,
    /// Keys to read, first come first served: under load each stream collects entries while it waits for its turn,
    /// so that its next read brings several. A stream that is in here says so itself.
    dirty: VecDeque<Key>,
    /// Streams in the order in which their counters are checked.
    check_queue: VecDeque<(Key, Arc<Channel>)>,
    blocking: Option<Blocking>,
}

impl TailLoop {
    /// Opens the connection and arranges for the bell. Every stream is read once after this.
    async fn connect(
        &mut self,
        connector: &Connector,
        mode: TailMode,
    ) -> Result<MultiplexedConnection, Fault> {
        let purpose = Purpose {
            response_timeout: Some(TAIL_TIMEOUT),
            pushes: Some(self.doorbell.button()),
            ..Purpose::default()
        };
        let mut connection = connector.open(&purpose).await.map_err(|e| Fault::of(&e))?;
        self.blocking = None;
        let tracking = match mode {
            TailMode::Blocking => None,
            TailMode::Auto => {
                let command = cmd("CLIENT").arg("TRACKING").arg("ON").take();
                match connection
                    .req_packed_command(&command)
                    .await
                    .map_err(|e| Fault::of(&e))
                {
                    Ok(Value::ServerError(error)) => Some(Err(Fault::of_server(&error))),
                    Ok(_) => Some(Ok(())),
                    Err(fault @ Fault::Refused(_)) => Some(Err(fault)),
                    Err(fault) => return Err(fault),
                }
            }
        };
        match tracking {
            Some(Ok(())) => {}
            Some(Err(why)) => {
                warn!(
                    ?why,
                    "the server refuses client tracking; the tail falls back to blocking reads"
                );
                self.blocking = Some(Blocking::new(connector.clone(), self.doorbell.clone()));
            }
            None => self.blocking = Some(Blocking::new(connector.clone(), self.doorbell.clone())),
        }
        self.mark_all();
        info!(
            streams = self.streams.len(),
            blocking = self.blocking.is_some(),
            "the tail is connected"
        );
        Ok(connection)
    }

    /// Reads what rings, until the connection fails.
    async fn follow(&mut self, mut connection: MultiplexedConnection) -> Result<(), Fault> {
        let mut checks = tokio::time::interval(TAIL_CHECK_INTERVAL);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard_at = Instant::now();
        loop {
            self.take_news()?;
            if self.dirty.is_empty() {
                self.live.store(true, Ordering::Relaxed);
                tokio::select! {
                    () = self.doorbell.rung() => {}
                    _ = checks.tick() => {
                        self.queue_checks();
                        if self.dirty.is_empty() && heard_at.elapsed() >= TAIL_PING_INTERVAL {
                            connection.req_packed_command(&cmd("PING")).await.map_err(|e| Fault::of(&e))?;
                            heard_at = Instant::now();
                        }
                    }
                }
                continue;
            }
            let started = Instant::now();
            self.read_dirty(&mut connection).await?;
            heard_at = Instant::now();
            metrics::histogram!("weir_redis_latency_seconds", "op" => "tail").record(started.elapsed());
        }
    }

    /// Puts a stream in line to be read, unless it is there already.
    fn mark(&mut self, key: &[u8]) {
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

    fn mark_all(&mut self) {
        for (key, followed) in &mut self.streams {
            if !std::mem::replace(&mut followed.queued, true) {
                self.dirty.push_back(key.clone());
            }
        }
    }

    /// Takes over what the doorbell has collected.
    fn take_news(&mut self) -> Result<(), Fault> {
        let news = self.doorbell.take();
        for (follow, channel) in news.changes {
            let key: Key = self.keys.stream_key(channel.stream()).into_bytes().into();
            if follow {
                self.check_queue.push_back((key.clone(), channel.clone()));
                self.streams.insert(key.clone(), Followed::new(channel));
                self.mark(&key);
            } else if self
                .streams
                .get(&key)
                .is_some_and(|f| Arc::ptr_eq(&f.channel, &channel))
            {
                self.streams.remove(&key);
            }
        }
        if news.lost {
            return Err(Fault::Lost("the connection to Redis was lost"));
        }
        if news.all_dirty {
            self.mark_all();
        }
        for key in &news.dirty {
            self.mark(key);
        }
        if let Some(blocking) = &mut self.blocking {
            blocking.follow(&self.streams);
        }
        Ok(())
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

    /// Reads a share of the dirty streams, each as its plan says.
    async fn read_dirty(&mut self, connection: &mut MultiplexedConnection) -> Result<(), Fault> {
        let (mut fast, mut slow) = (Vec::new(), Vec::new());
        for _ in 0..self.dirty.len().min(LIVE_READ_STREAMS_MAX) {
            let Some(key) = self.dirty.pop_front() else { break };
            let Some(followed) = self.streams.get_mut(&key) else {
                continue;
            };
            followed.queued = false;
            match followed.plan() {
                Plan::Fast(_) => fast.push(key),
                Plan::Open | Plan::Verify(_) => slow.push(key),
            }
        }
        let read = async {
            self.read_fast(connection, &fast).await?;
            for keys in slow.chunks(TAIL_VERIFY_STREAMS_MAX) {
                self.read_slow(connection, keys).await?;
            }
            Ok(())
        }
        .await;
        if read.is_err() {
            // Whatever was not read is read after the connection is back.
            fast.iter().chain(&slow).for_each(|key| self.mark(key));
        }
        read
    }

    /// One `XREAD` over all these streams.
    async fn read_fast(&mut self, connection: &mut MultiplexedConnection, keys: &[Key]) -> Result<(), Fault> {
        if keys.is_empty() {
            return Ok(());
        }
        let streams = || keys.iter().filter_map(|key| self.streams.get(key));
        let smallest = streams().map(Followed::entries_max).min().unwrap_or(1);
        let limit = smallest.min(LIVE_READ_ENTRIES_TOTAL / keys.len()).max(2);
        let mut command = cmd("XREAD");
        command.arg("COUNT").arg(limit).arg("STREAMS");
        for key in keys {
            command.arg(&**key);
        }
        for followed in streams() {
            if let Plan::Fast(after) = followed.plan() {
                command.arg(after.to_string());
            }
        }
        let reply = connection
            .req_packed_command(&command)
            .await
            .map_err(|e| Fault::of(&e));
        let found = match reply.and_then(parse::streams) {
            Ok(found) => found,
            // One key of another type fails the whole command: each stream is read by itself then.
            Err(Fault::WrongType) => Vec::new(),
            Err(fault) => return Err(fault),
        };
        let mut found: HashMap<Vec<u8>, Vec<RawEntry>> = found.into_iter().collect();
        for key in keys {
            let Some(followed) = self.streams.get_mut(key) else {
                continue;
            };
            if followed.read_fast(found.remove(&**key).unwrap_or_default(), limit) == Outcome::Again {
                self.mark(key);
            }
        }
        Ok(())
    }

    /// One transaction over a few streams that reads their counters and their entries.
    async fn read_slow(&mut self, connection: &mut MultiplexedConnection, keys: &[Key]) -> Result<(), Fault> {
        let limit_of = |followed: &Followed| followed.entries_max().min(LIVE_READ_ENTRIES_TOTAL / keys.len());
        let mut pipe = Pipeline::new();
        pipe.atomic();
        for key in keys {
            let Some(followed) = self.streams.get(key) else {
                continue;
            };
            pipe.cmd("XINFO").arg("STREAM").arg(&**key);
            if let Plan::Verify(after) = followed.plan() {
                let limit = limit_of(followed);
                pipe.cmd("XREAD")
                    .arg("COUNT")
                    .arg(limit)
                    .arg("STREAMS")
                    .arg(key)
                    .arg(after.to_string());
            }
        }
        if pipe.is_empty() {
            return Ok(());
        }
        let replies = connection.req_packed_commands(&pipe, pipe.len() + 1, 1).await;
        let exec = replies
            .map_err(|e| Fault::of(&e))?
            .pop()
            .ok_or(Fault::Malformed)?;
        let mut replies = parse::array(exec)?.into_iter();
        for key in keys {
            let Some(followed) = self.streams.get_mut(key) else {
                continue;
            };
            let verify = matches!(followed.plan(), Plan::Verify(_));
            let view = view_or_absent(replies.next().ok_or(Fault::Malformed)?)?;
            if !verify {
                followed.opened(&view);
                continue;
            }
            let limit = limit_of(followed);
            let entries = match parse::streams(replies.next().ok_or(Fault::Malformed)?) {
                Ok(found) => found
                    .into_iter()
                    .next()
                    .map(|(_, entries)| entries)
                    .unwrap_or_default(),
                Err(Fault::WrongType) => Vec::new(),
                Err(fault) => return Err(fault),
            };
            if followed.read_verified(&view, entries, limit) == Outcome::Again {
                self.mark(key);
            }
        }
        Ok(())
    }
}

/// Each stream's counters are checked this often, or less often when there are very many.
const CHECK_EVERY: std::time::Duration = std::time::Duration::from_secs(2);

/// A key that holds something else holds no stream: to its readers the stream is gone.
fn view_or_absent(reply: Value) -> Result<StreamView, Fault> {
    match parse::view(reply) {
        Err(Fault::WrongType) => {
            debug!("a followed key holds another type of value");
            Ok(StreamView::ABSENT)
        }
        view => view,
    }
}
