//! Small words for the tests: logs, events, waiting, raw commands.

use std::sync::Arc;
use std::time::Duration;

use broker::testing::RedisServer;
use broker::{From, Log, NewEvent, ReadRequest, RedisConfig, RedisLog, Retention, RetentionRules};
use bytes::Bytes;
use redis::{Cmd, FromRedisValue};
use shared::{Event, Payload, StreamName};

/// How long a test waits for something that must happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) fn name(text: &str) -> StreamName {
    text.parse().unwrap()
}

pub(crate) fn key(stream: &StreamName) -> String {
    format!("weir:{{{stream}}}")
}

/// The settings of the tests: everything is kept.
pub(crate) fn config(url: String) -> RedisConfig {
    RedisConfig {
        retention: RetentionRules {
            rules: Vec::new(),
            default: Retention {
                entries_max: None,
                age_max: None,
                idle_max: None,
            },
        },
        ..RedisConfig::new(url)
    }
}

pub(crate) async fn log(url: String) -> Arc<RedisLog> {
    RedisLog::connect(config(url)).await.unwrap()
}

/// An event whose data is a number.
pub(crate) fn number(n: u64) -> NewEvent {
    bytes(n.to_string().into())
}

pub(crate) fn bytes(data: Bytes) -> NewEvent {
    NewEvent::new(Event::new(Payload::Json(data)))
}

/// The same with the number as its idempotency key.
pub(crate) fn keyed(n: u64) -> NewEvent {
    NewEvent {
        key: Some(n.to_string().parse().unwrap()),
        ..number(n)
    }
}

/// Every number in the stream, in order.
pub(crate) async fn numbers(log: &RedisLog, stream: &StreamName) -> Vec<u64> {
    let mut numbers = Vec::new();
    let mut from = From::Start;
    loop {
        let page = log
            .read(stream, &ReadRequest::forward(from, usize::MAX))
            .await
            .unwrap();
        for entry in &page.entries {
            numbers.push(
                std::str::from_utf8(entry.event.data.raw())
                    .unwrap()
                    .parse()
                    .unwrap(),
            );
        }
        if page.tail_reached {
            return numbers;
        }
        from = From::Cursor(page.cursor);
    }
}

/// The stream holds `0..count` and nothing else, in order.
pub(crate) async fn holds_all(log: &RedisLog, stream: &StreamName, count: u64) {
    let numbers = numbers(log, stream).await;
    let wrong = numbers.iter().zip(0..).find(|(is, ought)| **is != *ought);
    assert_eq!((wrong, numbers.len() as u64), (None, count), "in {stream}");
}

/// Waits for `work` under the deadline.
pub(crate) async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, work).await {
        Ok(done) => done,
        Err(_) => panic!("not in time: {what}"),
    }
}

/// Asks again and again until the answer is yes.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    in_time(what, async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Runs a raw command at the server.
pub(crate) async fn raw<T: FromRedisValue>(server: &RedisServer, command: &Cmd) -> T {
    command.query_async(&mut server.connection().await).await.unwrap()
}

/// Runs a raw command, given as one text.
pub(crate) async fn run(server: &RedisServer, command: &str) {
    let mut words = command.split(' ');
    let mut cmd = redis::cmd(words.next().unwrap());
    for word in words {
        cmd.arg(word);
    }
    let _: redis::Value = raw(server, &cmd).await;
}

/// How many entries the stream has, by the server's word.
pub(crate) async fn length(server: &RedisServer, stream: &StreamName) -> u64 {
    raw(server, redis::cmd("XLEN").arg(key(stream))).await
}
