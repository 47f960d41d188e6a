//! What retention leaves in Redis: lengths, expiries, and nothing for ever.

use std::time::Duration;

use broker::testing::RedisServer;
use broker::{Log, RedisConfig, RedisLog};

use crate::support::*;

async fn expiry_ms(server: &RedisServer, key: &str) -> i64 {
    raw(server, redis::cmd("PTTL").arg(key)).await
}

#[tokio::test]
async fn every_key_expires() {
    let server = RedisServer::start().await;
    let log = RedisLog::connect(RedisConfig::new(server.url())).await.unwrap();
    let idle_ms = i64::try_from(log_idle().as_millis()).unwrap();
    let window_ms = i64::try_from(shared::limits::IDEMPOTENCY_WINDOW.as_millis()).unwrap();
    for event in [number(1), keyed(2)] {
        let stream = name(if event.key.is_some() { "keyed" } else { "plain" });
        log.append(&stream, event).await.unwrap();
        assert!(expiry_ms(&server, &key(&stream)).await >= idle_ms);
    }
    let of_key = expiry_ms(&server, "weir:{keyed}:k:2").await;
    assert!((1..=window_ms).contains(&of_key), "{of_key}");
    let value: String = raw(&server, redis::cmd("GET").arg("weir:{keyed}:k:2")).await;
    assert!(value.ends_with(" 1"), "{value}");
}

#[tokio::test]
async fn a_stream_that_somebody_deleted_expires_again() {
    let server = RedisServer::start().await;
    let log = RedisLog::connect(RedisConfig::new(server.url())).await.unwrap();
    let stream = name("doc:1");
    for event in [number(1), keyed(2)] {
        log.append(&stream, number(0)).await.unwrap();
        run(&server, &format!("DEL {}", key(&stream))).await;
        log.append(&stream, event).await.unwrap();
        until("an expiry", async || expiry_ms(&server, &key(&stream)).await > 0).await;
    }
}

fn log_idle() -> Duration {
    shared::limits::RETENTION_IDLE_MAX
}
