//! What Redis was asked to do, by the names of its commands.

use std::collections::BTreeMap;

use broker::testing::RedisServer;

/// Reads of the log.
const READS: [&str; 4] = ["xrange", "xrevrange", "xread", "xinfo|stream"];

/// How often each command was carried out, with those of scripts; without what asks for that.
#[derive(Debug, Clone, Default)]
pub(super) struct Commands(BTreeMap<String, u64>);

impl Commands {
    /// Since the server was started.
    pub(super) async fn of(redis: &RedisServer) -> anyhow::Result<Self> {
        let mut connection = redis.connection().await;
        let info: String = redis::cmd("INFO")
            .arg("commandstats")
            .query_async(&mut connection)
            .await?;
        let command = |line: &str| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            let calls = rest.split(',').next()?.parse().ok()?;
            (name != "info").then(|| (name.to_owned(), calls))
        };
        Ok(Self(info.lines().filter_map(command).collect()))
    }

    /// Those since `earlier`.
    pub(super) fn since(mut self, earlier: &Self) -> Self {
        for (name, count) in &mut self.0 {
            *count = count.saturating_sub(earlier.0.get(name).copied().unwrap_or_default());
        }
        self.0.retain(|_, count| *count > 0);
        self
    }

    /// All together.
    pub(super) fn all(&self) -> u64 {
        self.0.values().sum()
    }

    /// Those that read the log.
    pub(super) fn reads(&self) -> u64 {
        READS.iter().filter_map(|name| self.0.get(*name)).sum()
    }

    /// Those that read pages of the log, for subscribers that the ring does not serve.
    pub(super) fn pages(&self) -> u64 {
        let count = |name| self.0.get(name).copied().unwrap_or_default();
        count("xrange") + count("xrevrange")
    }

    /// `3 xadd, 1 xread`.
    pub(super) fn text(&self) -> String {
        let each: Vec<String> = self
            .0
            .iter()
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        each.join(", ")
    }
}
