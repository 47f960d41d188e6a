//! What goes wrong in each case, how it is mended, and what may be noticed of it.

use std::io;
use std::time::Duration;

use shared::StreamName;

use crate::cluster::Cluster;
use crate::proxy::Impairment;
use crate::truth::Operator;

/// The edge to which something is done in the cases that are about one.
pub const VICTIM: usize = 0;

/// A slow network: far away, and narrow.
const SLOW: Impairment = Impairment::Slow {
    delay: Duration::from_millis(150),
    bytes_per_second: 512 * 1024,
};

/// One thing that goes wrong, and comes to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// Redis is told to end (SIGTERM), and started again.
    RedisStopped,
    /// Redis is killed (SIGKILL), and started again.
    RedisKilled,
    /// Redis is killed, and started again without its data.
    RedisEmptied,
    /// Redis is stopped in its tracks (SIGSTOP), and goes on (SIGCONT).
    RedisPaused,
    /// The connections between one edge and Redis are reset, and so are new ones.
    LinkReset,
    /// What one edge and Redis send to each other vanishes; no connection ends.
    LinkSilent,
    /// All that edges and Redis send to each other comes late and slowly.
    LinksSlow,
    /// One edge is told to end (SIGTERM), and started again.
    EdgeDrained,
    /// One edge is killed (SIGKILL), and started again.
    EdgeKilled,
}

impl Case {
    /// Every case, in the order in which they are run.
    pub const ALL: [Self; 9] = [
        Self::RedisStopped,
        Self::RedisKilled,
        Self::RedisEmptied,
        Self::RedisPaused,
        Self::LinkReset,
        Self::LinkSilent,
        Self::LinksSlow,
        Self::EdgeDrained,
        Self::EdgeKilled,
    ];

    /// What its streams begin with, and its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::RedisStopped => "stopped",
            Self::RedisKilled => "killed",
            Self::RedisEmptied => "emptied",
            Self::RedisPaused => "paused",
            Self::LinkReset => "link-reset",
            Self::LinkSilent => "link-silent",
            Self::LinksSlow => "links-slow",
            Self::EdgeDrained => "drained",
            Self::EdgeKilled => "edge-killed",
        }
    }

    /// Whether an edge cannot append and tail meanwhile, though it lives.
    pub fn is_cut_off(self, edge: usize) -> bool {
        match self {
            Self::RedisStopped | Self::RedisKilled | Self::RedisEmptied | Self::RedisPaused => true,
            Self::LinkReset | Self::LinkSilent => edge == VICTIM,
            Self::LinksSlow | Self::EdgeDrained | Self::EdgeKilled => false,
        }
    }

    /// Whether an edge is not there meanwhile.
    pub fn is_down(self, edge: usize) -> bool {
        matches!(self, Self::EdgeDrained | Self::EdgeKilled) && edge == VICTIM
    }

    /// Whether an edge that is cut off is told so by its connections, instead of having to find out.
    pub fn is_told(self) -> bool {
        !matches!(self, Self::RedisPaused | Self::LinkSilent)
    }

    /// Makes it go wrong.
    pub async fn begin(
        self,
        cluster: &mut Cluster,
        operator: &mut Operator,
        streams: &[StreamName],
    ) -> io::Result<()> {
        match self {
            Self::RedisStopped => cluster.redis.terminate().await,
            Self::RedisKilled => cluster.redis.kill(),
            Self::RedisEmptied => {
                cluster.redis.kill();
                impair(cluster, Impairment::Reset);
                // Once more with its data, out of the edges' reach, to see what they were.
                restart_redis(cluster, operator).await?;
                for stream in streams {
                    operator.take_down(stream).await.map_err(io::Error::other)?;
                }
                cluster.redis.kill();
                cluster.redis.lose_data()?;
            }
            Self::RedisPaused => cluster.redis.pause(),
            Self::LinkReset => cluster.redis_links[VICTIM].impair(Impairment::Reset),
            Self::LinkSilent => cluster.redis_links[VICTIM].impair(Impairment::BlackHole),
            Self::LinksSlow => impair(cluster, SLOW),
            Self::EdgeDrained => cluster.edges[VICTIM].drain().await,
            Self::EdgeKilled => cluster.edges[VICTIM].kill(),
        }
        Ok(())
    }

    /// Mends it. Redis answers when this is done.
    pub async fn end(self, cluster: &mut Cluster, operator: &mut Operator) -> io::Result<()> {
        match self {
            Self::RedisStopped | Self::RedisKilled => restart_redis(cluster, operator).await?,
            Self::RedisEmptied => {
                cluster.redis.restart().await;
                operator
                    .reconnect(&cluster.redis.socket())
                    .await
                    .map_err(io::Error::other)?;
                impair(cluster, Impairment::None);
            }
            Self::RedisPaused => cluster.redis.resume(),
            Self::LinkReset | Self::LinkSilent | Self::LinksSlow => impair(cluster, Impairment::None),
            Self::EdgeDrained | Self::EdgeKilled => cluster.edges[VICTIM].restart()?,
        }
        Ok(())
    }
}

fn impair(cluster: &Cluster, impairment: Impairment) {
    cluster
        .redis_links
        .iter()
        .for_each(|link| link.impair(impairment));
}

async fn restart_redis(cluster: &Cluster, operator: &mut Operator) -> io::Result<()> {
    // Half a transaction at the end of the file is a fault of its own: see `broker::testing::append_only_file`.
    cluster.redis.lose_end_of_file(0)?;
    cluster.redis.restart().await;
    let socket = cluster.redis.socket();
    operator.reconnect(&socket).await.map_err(io::Error::other)
}
