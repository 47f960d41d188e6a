//! Watches how full the server is, or the fullest master of a cluster: metrics all the time, and a warning in the log before
//! appends are refused or streams are evicted. It changes nothing.

use std::collections::HashMap;
use std::sync::{Arc, Once};

use redis::RedisResult;
use shared::limits::{MEMORY_WARN_INTERVAL, MEMORY_WARN_PERCENT, MEMORY_WATCH_INTERVAL};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::connect::{Connection, Connector, Purpose};
use super::fault::Fault;
use super::topology::{NodeId, Topology};

/// That the user may not ask is told once.
static TOLD: Once = Once::new();

/// What the server tells of its memory.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Memory {
    used_bytes: u64,
    /// 0 is without bound.
    max_bytes: u64,
    policy: String,
}

/// Watches until `stop` is cancelled.
pub(super) async fn run(topology: Arc<Topology>, stop: CancellationToken) {
    let mut connections = HashMap::new();
    let mut tick = interval(MEMORY_WATCH_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut settings_told = false;
    let mut warned_at: Option<Instant> = None;
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        let looked = stop
            .run_until_cancelled(look_at_all(&topology, &mut connections))
            .await;
        let Some(Some(memory)) = looked else {
            continue;
        };
        metrics::gauge!("weir_redis_memory_used_bytes").set(memory.used_bytes as f64);
        metrics::gauge!("weir_redis_memory_max_bytes").set(memory.max_bytes as f64);
        if !std::mem::replace(&mut settings_told, true) {
            warn_of_settings(&memory);
        }
        let due = warned_at.is_none_or(|at| at.elapsed() >= MEMORY_WARN_INTERVAL);
        if memory.is_short() && due {
            warned_at = Some(Instant::now());
            warn!(
                used_bytes = memory.used_bytes,
                max_bytes = memory.max_bytes,
                "Redis is nearly full: raise maxmemory or shorten the retention of streams"
            );
        }
    }
}

/// What the fullest of the nodes tells.
async fn look_at_all(
    topology: &Topology,
    connections: &mut HashMap<NodeId, Option<Connection>>,
) -> Option<Memory> {
    let nodes = topology.present();
    connections.retain(|id, _| nodes.by_id(*id).is_some());
    let mut fullest: Option<Memory> = None;
    for node in nodes.all() {
        let connection = connections.entry(node.id()).or_default();
        let Some(memory) = look(node.connector(), connection).await else {
            continue;
        };
        if fullest.as_ref().is_none_or(|other| memory.is_fuller_than(other)) {
            fullest = Some(memory);
        }
    }
    fullest
}

async fn look(connector: &Connector, connection: &mut Option<Connection>) -> Option<Memory> {
    match info(connector, connection).await {
        Ok(text) => parse(&text),
        Err(error) => {
            match Fault::of(&error) {
                Fault::Refused(why) => TOLD.call_once(|| warn!(%why, "nobody watches the memory of Redis")),
                _ => debug!(%error, "no look at the memory of Redis"),
            }
            None
        }
    }
}

/// Asks over the connection that is there, or over a new one. One that fails is given up.
async fn info(connector: &Connector, connection: &mut Option<Connection>) -> RedisResult<String> {
    let mut open = match connection.take() {
        Some(open) => open,
        None => connector.open(&Purpose::default()).await?,
    };
    let text = redis::cmd("INFO").arg("memory").query_async(&mut *open).await?;
    *connection = Some(open);
    Ok(text)
}

fn warn_of_settings(memory: &Memory) {
    if memory.max_bytes == 0 {
        warn!(
            "Redis has no maxmemory: it may take all memory of its machine; set maxmemory, with noeviction"
        );
    }
    if memory.evicts() {
        warn!(
            policy = memory.policy,
            "Redis may evict whole streams when it is full; set maxmemory-policy noeviction"
        );
    }
}

impl Memory {
    fn is_short(&self) -> bool {
        self.max_bytes > 0
            && self.used_bytes.saturating_mul(100) >= self.max_bytes.saturating_mul(MEMORY_WARN_PERCENT)
    }

    /// By the part that is used. What has no bound does not become full; of two such the one that uses more is meant.
    fn is_fuller_than(&self, other: &Self) -> bool {
        let [used, other_used] = [self, other].map(|memory| u128::from(memory.used_bytes));
        match [self, other].map(|memory| u128::from(memory.max_bytes)) {
            [0, 0] => used > other_used,
            [0, _] => false,
            [_, 0] => true,
            [max, other_max] => used * other_max > other_used * max,
        }
    }

    /// Streams have an expiry unless retention says otherwise, so the `volatile` policies take them as well.
    fn evicts(&self) -> bool {
        !matches!(self.policy.as_str(), "noeviction" | "")
    }
}

fn parse(info: &str) -> Option<Memory> {
    let field = |name: &str| {
        info.lines()
            .find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'))
    };
    Some(Memory {
        used_bytes: field("used_memory")?.parse().ok()?,
        max_bytes: field("maxmemory")?.parse().ok()?,
        policy: field("maxmemory_policy").unwrap_or_default().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_and_judged() {
        let info = "# Memory\r\nused_memory:850\r\nused_memory_human:1M\r\nmaxmemory:1000\r\n\
            maxmemory_human:1M\r\nmaxmemory_policy:allkeys-lru\r\n";
        let memory = Memory {
            used_bytes: 850,
            max_bytes: 1000,
            policy: "allkeys-lru".into(),
        };
        assert_eq!(parse(info), Some(memory.clone()));
        assert!(memory.is_short() && memory.evicts());
        let roomy = Memory {
            used_bytes: 700,
            policy: "noeviction".into(),
            ..memory.clone()
        };
        assert!(!roomy.is_short() && !roomy.evicts());
        let unbounded = Memory {
            max_bytes: 0,
            ..memory.clone()
        };
        assert!(!unbounded.is_short());
        assert!(memory.is_fuller_than(&roomy) && !roomy.is_fuller_than(&memory));
        assert!(roomy.is_fuller_than(&unbounded) && !unbounded.is_fuller_than(&roomy));
        let small = Memory {
            used_bytes: 1,
            ..unbounded.clone()
        };
        assert!(unbounded.is_fuller_than(&small) && !small.is_fuller_than(&unbounded));
        assert_eq!(parse("nothing"), None);
    }
}
