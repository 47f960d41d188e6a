//! The faults: which, in what order (drawn from the seed), and how each is done.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use shared::StreamName;
use tokio::time::{Instant, sleep};

use crate::cluster::Cluster;
use crate::truth::Operator;

/// New connections of clients are cut after so many bytes at the most, as long as the faults last.
pub const CUT_BYTES_MAX: u64 = 192 * 1024;
/// Bytes that a power failure takes from the end of Redis's file.
const POWER_BYTES: std::ops::Range<u64> = 8 * 1024..48 * 1024;
/// How long it may take until a subscriber has received what is the newest.
const SEEN: Duration = Duration::from_secs(60);
const SEEN_POLL: Duration = Duration::from_millis(1);

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// An edge is killed (SIGKILL) and started again.
    KillEdge,
    /// All edges are killed at once and started again.
    KillAllEdges,
    /// An edge is told to end (SIGTERM), ends, and is started again.
    DrainEdge,
    /// An edge is stopped (SIGSTOP) and goes on (SIGCONT).
    FreezeEdge,
    /// Every connection of clients is cut, in mid-frame.
    CutClients,
    /// Every connection between edges and Redis is cut, in mid-frame.
    CutRedis,
    /// Redis is killed (SIGKILL) and started again from its file.
    KillRedis,
    /// Redis is killed, and the last part of its file is lost.
    LosePower,
    /// A stream is trimmed while it is read.
    Trim,
    /// Single entries are deleted while a stream is read.
    DeleteEntries,
    /// A stream is deleted; the next publish creates it anew.
    DeleteStream,
    /// A stream is set back to an earlier state.
    SetBack,
    /// An edge is killed, and all that is stored of sessions is lost before it is started again.
    LoseSessions,
    /// Redis is killed, and Sentinels make a primary of its replica, which has not quite all.
    FailOver,
    /// The same with a replica that got nothing for a while.
    FailOverToLaggard,
}

/// The faults of a run that loses nothing that was acknowledged.
pub const SAFE: &[Fault] = &[
    Fault::KillEdge,
    Fault::KillEdge,
    Fault::KillAllEdges,
    Fault::DrainEdge,
    Fault::FreezeEdge,
    Fault::CutClients,
    Fault::CutRedis,
    Fault::CutRedis,
    Fault::KillRedis,
    Fault::Trim,
    Fault::Trim,
    Fault::Trim,
    Fault::DeleteEntries,
    Fault::DeleteEntries,
    Fault::DeleteStream,
    Fault::SetBack,
];

/// The faults of a run in which Redis loses its last writes.
pub const UNSAFE: &[Fault] = &[
    Fault::LosePower,
    Fault::KillEdge,
    Fault::LosePower,
    Fault::CutClients,
    Fault::CutRedis,
];

/// The faults of a run in which Redis is replaced by its replica.
pub const FAIL_OVERS: &[Fault] = &[
    Fault::FailOver,
    Fault::FailOverToLaggard,
    Fault::KillEdge,
    Fault::FailOverToLaggard,
    Fault::CutClients,
];

/// `rounds` times each fault of `kinds`, in an order that `random` draws.
pub fn plan(kinds: &[Fault], rounds: usize, random: &mut fastrand::Rng) -> Vec<Fault> {
    let mut faults: Vec<Fault> = kinds.iter().copied().cycle().take(kinds.len() * rounds).collect();
    random.shuffle(&mut faults);
    faults
}

/// The streams to which things are done that are not done to the others.
#[derive(Debug, Clone)]
pub struct Victims {
    /// Only published to.
    pub plain: StreamName,
    /// Trimmed from the front.
    pub trimmed: StreamName,
    /// Has single entries deleted.
    pub holes: StreamName,
    /// Deleted and created anew.
    pub recreated: StreamName,
    /// Set back to an earlier state.
    pub set_back: StreamName,
}

impl Victims {
    /// By the names that the scenarios give them.
    pub fn new() -> Self {
        let name = |name: &str| name.parse().unwrap();
        Self {
            plain: name("plain"),
            trimmed: name("trimmed"),
            holes: name("holes"),
            recreated: name("recreated"),
            set_back: name("set-back"),
        }
    }
}

/// Does the faults.
pub struct Chaos {
    /// What they are done to.
    pub cluster: Cluster,
    /// Does what an operator of Redis could do.
    pub operator: Operator,
    /// Which streams.
    pub victims: Victims,
    /// Decides what is open.
    pub random: fastrand::Rng,
    /// When Redis last lost its last writes, in milliseconds since 1970.
    pub power_lost_at_ms: Option<u64>,
    /// Bytes of half-written transactions that were taken from the end of Redis's file after it was killed.
    pub torn_bytes: u64,
    /// The latest time in an ID that a subscriber has received.
    pub seen_ms: Arc<AtomicU64>,
}

impl Chaos {
    /// What begins before the events of a step are published.
    pub async fn prepare(&mut self, fault: Fault) {
        if fault == Fault::FailOverToLaggard {
            self.cluster.redis.group().cut_replication().await;
        }
    }

    /// Does one fault, to its end.
    pub async fn strike(&mut self, fault: Fault) -> io::Result<()> {
        let edge = self.random.usize(..self.cluster.edges.len());
        match fault {
            Fault::KillEdge => {
                self.cluster.edges[edge].kill();
                self.pause(400).await;
                self.cluster.edges[edge].restart()?;
            }
            Fault::KillAllEdges => {
                self.cluster.edges.iter_mut().for_each(|edge| edge.kill());
                self.pause(200).await;
                for edge in &mut self.cluster.edges {
                    edge.restart()?;
                }
            }
            Fault::DrainEdge => {
                self.cluster.edges[edge].drain().await;
                self.pause(400).await;
                self.cluster.edges[edge].restart()?;
            }
            Fault::FreezeEdge => {
                self.cluster.edges[edge].freeze();
                self.pause(4_000).await;
                self.cluster.edges[edge].thaw();
            }
            Fault::CutClients => self.cluster.links.iter().for_each(|link| link.cut_soon()),
            Fault::CutRedis => self.cluster.redis_links.iter().for_each(|link| link.cut_soon()),
            Fault::KillRedis => self.restart_redis(0).await?,
            Fault::LosePower => {
                self.newest_is_seen().await?;
                let bytes = self.random.u64(POWER_BYTES);
                self.restart_redis(bytes).await?;
            }
            Fault::LoseSessions => {
                self.cluster.edges[edge].kill();
                self.operator.delete_sessions().await.map_err(io::Error::other)?;
                self.cluster.edges[edge].restart()?;
            }
            Fault::FailOver | Fault::FailOverToLaggard => self.fail_over(fault).await?,
            Fault::Trim => {
                let keep = self.random.usize(..300);
                self.operator
                    .trim(&self.victims.trimmed, keep)
                    .await
                    .map_err(io::Error::other)?;
            }
            Fault::DeleteEntries => {
                self.operator
                    .delete_some(&self.victims.holes)
                    .await
                    .map_err(io::Error::other)?;
            }
            Fault::DeleteStream => {
                self.operator
                    .delete(&self.victims.recreated)
                    .await
                    .map_err(io::Error::other)?;
            }
            Fault::SetBack => {
                self.operator
                    .set_back(&self.victims.set_back)
                    .await
                    .map_err(io::Error::other)?;
                self.note_state().await?;
            }
        }
        Ok(())
    }

    /// Waits until a subscriber has received what is the newest now: so that something is lost that was seen.
    async fn newest_is_seen(&mut self) -> io::Result<()> {
        let newest = self.operator.newest(&self.victims.plain).await;
        let newest_ms = newest.map_err(io::Error::other)?.ms;
        let deadline = Instant::now() + SEEN;
        while self.seen_ms.load(Ordering::Relaxed) < newest_ms {
            assert!(Instant::now() < deadline, "nobody receives the newest events");
            sleep(SEEN_POLL).await;
        }
        Ok(())
    }

    /// Notes the state to which [`Fault::SetBack`] will set its stream back.
    pub async fn note_state(&mut self) -> io::Result<()> {
        self.operator
            .note_state(&self.victims.set_back)
            .await
            .map_err(io::Error::other)
    }

    /// Nothing goes wrong from now on.
    pub async fn calm(&self) {
        let links = self.cluster.redis_links.iter().chain(&self.cluster.links);
        links.for_each(|link| link.calm());
        self.cluster.ready().await;
    }

    async fn restart_redis(&mut self, lost_bytes: u64) -> io::Result<()> {
        self.cluster.redis.kill();
        if lost_bytes > 0 {
            self.power_lost_at_ms = Some(now_ms());
        }
        // Redis 7.0 would bring half a transaction back at its next start but one: a fault of its own, see
        // `broker::testing::append_only_file`.
        self.torn_bytes += self.cluster.redis.lose_end_of_file(lost_bytes)?;
        self.pause(300).await;
        self.cluster.redis.restart().await;
        self.operator
            .reconnect(&self.cluster.redis.socket())
            .await
            .map_err(io::Error::other)
    }

    /// The replica becomes the primary, and the old primary its replica.
    async fn fail_over(&mut self, fault: Fault) -> io::Result<()> {
        let lags = fault == Fault::FailOverToLaggard;
        if lags {
            self.newest_is_seen().await?;
        }
        self.cluster.redis.kill();
        self.power_lost_at_ms = Some(now_ms());
        let group = self.cluster.redis.group();
        match lags {
            true => group.fail_over_at_once().await,
            false => group.fail_over().await,
        }
        group.restore().await;
        let socket = self.cluster.redis.socket();
        self.operator.reconnect(&socket).await.map_err(io::Error::other)
    }

    /// How long something stays broken.
    async fn pause(&mut self, ms_max: u64) {
        sleep(Duration::from_millis(self.random.u64(20..ms_max))).await;
    }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}
