//! The Redis engine under the suite, on a Redis Cluster of two masters. Each case has a cluster of its own, which takes more
//! than two seconds to agree that it is one: so the tests have the cases in which a cluster is most another thing, and
//! all of them on request:
//!
//! ```text
//! cargo test -p broker --test contract cluster::all -- --ignored
//! ```

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use broker::testing::RedisCluster;
use broker::{Log, RedisConfig, RedisLog};
use redis::{Cmd, FromRedisValue, cmd};
use shared::{EntryId, StreamName};
use tokio::runtime::Handle;

use crate::{Fields, Fixture, Settings};

/// A cluster, and the engine on it.
pub(crate) struct Cluster {
    log: Arc<RedisLog>,
    /// Last, so that it goes last.
    cluster: RedisCluster,
}

impl Cluster {
    /// Runs a command at the master that has the stream.
    async fn run<T: FromRedisValue>(&self, stream: &StreamName, command: &mut Cmd) -> T {
        let (_, owner) = self.cluster.first_owner(&key(stream)).await;
        self.cluster.nodes()[owner].run(command).await
    }
}

fn key(stream: &StreamName) -> String {
    format!("weir:{{{stream}}}")
}

#[async_trait]
impl Fixture for Cluster {
    /// What `DUMP` gives; `None` if the stream did not exist.
    type Snapshot = Option<Vec<u8>>;
    const MODEL_CASES: u32 = 4;

    async fn start(settings: Settings) -> Self {
        // Its future cannot be sent to another thread.
        let start = || Handle::current().block_on(RedisCluster::start(2, false));
        let cluster = tokio::task::block_in_place(start);
        let log = RedisLog::connect(RedisConfig {
            limits: settings.limits,
            retention: settings.retention,
            hub: settings.hub,
            ..RedisConfig::new(cluster.url())
        });
        let log = log.await.unwrap();
        Self { log, cluster }
    }

    fn log(&self) -> Arc<dyn Log> {
        self.log.clone()
    }

    async fn append_raw(&self, stream: &StreamName, id: Option<EntryId>, fields: &Fields) -> EntryId {
        let mut xadd = cmd("XADD");
        let id = id.map_or_else(|| "*".to_owned(), |id| id.to_string());
        xadd.arg(key(stream)).arg(id);
        for (name, value) in fields {
            xadd.arg(name.as_ref()).arg(value.as_ref());
        }
        self.run::<String>(stream, &mut xadd).await.parse().unwrap()
    }

    async fn trim(&self, stream: &StreamName, keep: u64) {
        let mut xtrim = cmd("XTRIM");
        xtrim.arg(key(stream)).arg("MAXLEN").arg("=").arg(keep);
        self.run::<u64>(stream, &mut xtrim).await;
    }

    async fn delete_entry(&self, stream: &StreamName, id: EntryId) {
        let mut xdel = cmd("XDEL");
        xdel.arg(key(stream)).arg(id.to_string());
        assert_eq!(self.run::<u64>(stream, &mut xdel).await, 1);
    }

    async fn delete_stream(&self, stream: &StreamName) {
        self.run::<u64>(stream, cmd("DEL").arg(key(stream))).await;
    }

    async fn snapshot(&self, stream: &StreamName) -> Self::Snapshot {
        self.run(stream, cmd("DUMP").arg(key(stream))).await
    }

    async fn restore(&self, stream: &StreamName, snapshot: Self::Snapshot) {
        let Some(dump) = snapshot else {
            return self.delete_stream(stream).await;
        };
        let mut restore = cmd("RESTORE");
        restore.arg(key(stream)).arg(0).arg(dump).arg("REPLACE");
        self.run::<()>(stream, &mut restore).await;
    }

    async fn advance(&self, by: Duration) {
        tokio::time::sleep(by).await;
    }
}

contract_tests! { crate::cluster::Cluster, allow(clippy::unwrap_used):
    append {
        many_publishers_at_once,
        a_key_counts_within_and_across_batches,
    }
    verdict {
        rolled_back_and_gone_on,
    }
    subscribe {
        merged_by_time,
    }
    join {
        many_subscribers_many_streams,
    }
    live {
        deleted_and_re_created,
    }
    sessions {
        of_many_who_take_over_at_once_one_is_last,
    }
    edges {
        the_first_secret_is_the_one_that_all_share,
    }
    ephemeral {
        reach_who_asks_for_them_and_leave_no_trace,
    }
}

mod all {
    contract_suite!(
        crate::cluster::Cluster,
        ignore = "every case on a cluster of its own takes minutes; see the top of this file"
    );
}
