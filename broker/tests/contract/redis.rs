//! The Redis engine under the suite, once with the doorbell and once with blocking reads. Each case has a server of
//! its own.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use broker::testing::RedisServer;
use broker::{Log, RedisConfig, RedisLog, TailMode};
use redis::FromRedisValue;
use redis::aio::MultiplexedConnection;
use shared::{EntryId, StreamName};

use crate::{Fields, Fixture, Settings};

/// A server, the engine on it, and the connection of another client.
pub(crate) struct Redis<const BLOCKING: bool> {
    log: Arc<RedisLog>,
    other: MultiplexedConnection,
    /// Last, so that it goes last.
    _server: RedisServer,
}

/// The tail is woken by client tracking.
pub(crate) type Doorbell = Redis<false>;
/// The tail waits in blocking reads.
pub(crate) type Blocking = Redis<true>;

impl<const BLOCKING: bool> Redis<BLOCKING> {
    async fn run<T: FromRedisValue>(&self, command: &mut redis::Cmd) -> T {
        command.query_async(&mut self.other.clone()).await.unwrap()
    }
}

fn key(stream: &StreamName) -> String {
    format!("weir:{{{stream}}}")
}

#[async_trait]
impl<const BLOCKING: bool> Fixture for Redis<BLOCKING> {
    /// What `DUMP` gives; `None` if the stream did not exist.
    type Snapshot = Option<Vec<u8>>;
    const MODEL_CASES: u32 = if BLOCKING { 12 } else { 48 };

    async fn start(settings: Settings) -> Self {
        let server = RedisServer::start().await;
        let log = RedisLog::connect(RedisConfig {
            limits: settings.limits,
            retention: settings.retention,
            hub: settings.hub,
            tail: if BLOCKING {
                TailMode::Blocking
            } else {
                TailMode::Auto
            },
            ..RedisConfig::new(server.url())
        })
        .await
        .unwrap();
        let other = server.connection().await;
        Self {
            log,
            other,
            _server: server,
        }
    }

    fn log(&self) -> Arc<dyn Log> {
        self.log.clone()
    }

    async fn append_raw(&self, stream: &StreamName, id: Option<EntryId>, fields: &Fields) -> EntryId {
        let mut xadd = redis::cmd("XADD");
        xadd.arg(key(stream));
        match id {
            Some(id) => xadd.arg(id.to_string()),
            None => xadd.arg("*"),
        };
        for (name, value) in fields {
            xadd.arg(name.as_ref()).arg(value.as_ref());
        }
        self.run::<String>(&mut xadd).await.parse().unwrap()
    }

    async fn trim(&self, stream: &StreamName, keep: u64) {
        let mut xtrim = redis::cmd("XTRIM");
        self.run::<u64>(xtrim.arg(key(stream)).arg("MAXLEN").arg("=").arg(keep))
            .await;
    }

    async fn delete_entry(&self, stream: &StreamName, id: EntryId) {
        let mut xdel = redis::cmd("XDEL");
        let deleted: u64 = self.run(xdel.arg(key(stream)).arg(id.to_string())).await;
        assert_eq!(deleted, 1);
    }

    async fn delete_stream(&self, stream: &StreamName) {
        self.run::<u64>(redis::cmd("DEL").arg(key(stream))).await;
    }

    async fn snapshot(&self, stream: &StreamName) -> Self::Snapshot {
        self.run(redis::cmd("DUMP").arg(key(stream))).await
    }

    async fn restore(&self, stream: &StreamName, snapshot: Self::Snapshot) {
        let Some(dump) = snapshot else {
            return self.delete_stream(stream).await;
        };
        let mut restore = redis::cmd("RESTORE");
        self.run::<()>(restore.arg(key(stream)).arg(0).arg(dump).arg("REPLACE"))
            .await;
    }

    async fn advance(&self, by: Duration) {
        tokio::time::sleep(by).await;
    }
}

mod doorbell {
    contract_suite!(crate::redis::Doorbell);
}

mod blocking {
    contract_suite!(crate::redis::Blocking);
}
