//! The logs that the tests run on: the in-memory engine and a real Redis, the same tests on both.

use std::sync::Arc;
use std::time::Duration;

use broker::testing::RedisServer;
use broker::{Log, MemoryLog, NewEvent, RedisLog};
use bytes::Bytes;
use edge::config::Config;
use shared::{Cursor, Event, Payload, StreamName};

use super::support::TestEdge;

/// A log, and what it needs to live.
pub struct Engine {
    pub log: Arc<dyn Log>,
    pub config: Config,
    pub redis: Option<RedisServer>,
    memory: Option<Arc<MemoryLog>>,
}

/// Settings that make tests quick: short heartbeats and pauses, no approximate trimming.
pub fn config() -> Config {
    let mut config = Config::default();
    config.tail.heartbeat = Duration::from_millis(200);
    config.tail.retry = Duration::from_millis(50);
    config.drain.deadline = Duration::from_secs(5);
    config
}

impl Engine {
    pub async fn memory(config: Config) -> Self {
        let log = MemoryLog::new(config.memory_config());
        Self {
            log: log.clone(),
            config,
            redis: None,
            memory: Some(log),
        }
    }

    pub async fn redis(config: Config) -> Self {
        Self::on_server(RedisServer::start().await, config).await
    }

    pub async fn on_server(server: RedisServer, mut config: Config) -> Self {
        config.redis.url = Some(server.url().parse().unwrap());
        let log = RedisLog::connect(config.redis_config().unwrap().unwrap())
            .await
            .unwrap();
        Self {
            log,
            config,
            redis: Some(server),
            memory: None,
        }
    }

    /// Takes the oldest entries away until so many are left.
    pub async fn trim(&self, stream: &str, keep: u64) {
        if let Some(memory) = &self.memory {
            memory.trim(&stream.parse().unwrap(), keep);
        }
        if let Some(server) = &self.redis {
            let key = format!("weir:{{{stream}}}");
            let mut xtrim = redis::cmd("XTRIM");
            xtrim.arg(key).arg("MAXLEN").arg(keep);
            let mut connection = server.connection().await;
            xtrim.query_async::<()>(&mut connection).await.unwrap();
        }
    }

    /// An edge on this log.
    pub async fn edge(&self) -> TestEdge {
        TestEdge::start_on(self.log.clone(), self.config.clone()).await
    }

    /// Publishes one event of JSON data.
    pub async fn publish(&self, stream: &str, json: &str) -> Cursor {
        let event = Event::new(Payload::Json(Bytes::copy_from_slice(json.as_bytes())));
        self.publish_event(stream, event).await
    }

    /// Publishes one event.
    pub async fn publish_event(&self, stream: &str, event: Event) -> Cursor {
        let stream: StreamName = stream.parse().unwrap();
        self.log
            .append(&stream, NewEvent::new(event))
            .await
            .unwrap()
            .cursor
    }

    /// Publishes the numbers `from..to`.
    pub async fn publish_numbers(&self, stream: &str, from: usize, to: usize) -> Vec<Cursor> {
        let mut cursors = Vec::new();
        for number in from..to {
            cursors.push(self.publish(stream, &number.to_string()).await);
        }
        cursors
    }
}

/// Runs each test, an `async fn(Engine)`, on both engines.
macro_rules! on_both_engines {
    ($($(#[$attribute:meta])* $name:ident;)*) => {
        mod on_memory {
            $($(#[$attribute])* #[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $name() {
                let engine = $crate::engines::Engine::memory($crate::engines::config()).await;
                super::$name(engine).await;
            })*
        }
        mod on_redis {
            $($(#[$attribute])* #[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $name() {
                let engine = $crate::engines::Engine::redis($crate::engines::config()).await;
                super::$name(engine).await;
            })*
        }
    };
}
pub(crate) use on_both_engines;
