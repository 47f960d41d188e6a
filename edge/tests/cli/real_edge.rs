//! `weir publish` and `weir tail` against `weir serve` on a real Redis, all of them as processes, while edges and
//! Redis are killed with SIGKILL: what is tailed is what was typed in.

use std::time::{Duration, Instant};

use broker::testing::RedisServer;
use redis::AsyncCommands as _;
use redis::aio::MultiplexedConnection;

use crate::edge_process::{DEADLINE, Edge};
use crate::weir_process::{Ended, Weir, weir};

/// Where Weir keeps the stream of these tests.
const KEY: &str = "weir:{log:x}";

/// Waits until the stream has at least so many entries.
pub(crate) async fn until_length(redis: &mut MultiplexedConnection, length: usize) {
    let deadline = Instant::now() + DEADLINE;
    while redis.xlen::<_, usize>(KEY).await.unwrap() < length {
        assert!(
            Instant::now() < deadline,
            "the stream does not reach {length} entries"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The data of all entries, in order.
pub(crate) async fn stored(redis: &mut MultiplexedConnection) -> Vec<String> {
    let range: redis::streams::StreamRangeReply = redis.xrange_all(KEY).await.unwrap();
    let data = |entry: redis::streams::StreamId| entry.get::<String>("d").unwrap();
    let text = |data: String| serde_json::from_str(&data).unwrap();
    range.ids.into_iter().map(data).map(text).collect()
}

pub(crate) fn input(count: usize) -> (Vec<String>, String) {
    let lines: Vec<String> = (0..count)
        .map(|n| format!("line {n} {}", "x".repeat(n % 150)))
        .collect();
    let text = lines.iter().map(|line| format!("{line}\n")).collect();
    (lines, text)
}

/// Reads a tail to the last line, and ends it.
pub(crate) async fn read_all(mut tail: Weir, count: usize) -> (Vec<String>, Ended) {
    let mut lines = Vec::with_capacity(count);
    while lines.len() < count {
        lines.push(tail.line().await);
    }
    tail.signal("TERM");
    (lines, tail.ended().await)
}

#[track_caller]
pub(crate) fn same(got: &[String], expected: &[String], what: &str) {
    let differs = got.iter().zip(expected).position(|(a, b)| a != b);
    assert_eq!(differs, None, "{what} differs from the input at this line");
    assert_eq!(
        got.len(),
        expected.len(),
        "{what} has another length than the input"
    );
}

#[tokio::test]
async fn an_edge_that_is_killed_and_drained_again_and_again_loses_and_doubles_nothing() {
    const COUNT: usize = 30_000;
    let server = RedisServer::start().await;
    let mut redis = server.connection().await;
    let mut edge = Edge::start(&server).await;
    let tail = edge.tail(&["--from", "start"]);
    let mut publisher = edge.publish(&[]);
    let (lines, text) = input(COUNT);
    let publish = async {
        publisher.type_in(&text).await;
        publisher.ended().await
    };
    let chaos = async {
        for step in 1..=6 {
            until_length(&mut redis, step * COUNT / 8).await;
            match step % 3 {
                0 => edge.restart().await,
                _ => edge.crash().await,
            }
        }
    };
    let (ended, (), (tailed, tail_ended)) = tokio::join!(publish, chaos, read_all(tail, COUNT));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended.stderr.contains(&format!("{COUNT} lines published")),
        "{}",
        ended.stderr
    );
    same(&stored(&mut redis).await, &lines, "the stream");
    same(&tailed, &lines, "the tail");
    assert_eq!((tail_ended.code, tail_ended.stdout.as_str()), (Some(143), ""));
    assert!(!tail_ended.stderr.contains("!!!"), "{}", tail_ended.stderr);
}

#[tokio::test]
async fn a_redis_that_is_killed_loses_and_doubles_nothing_that_was_acknowledged() {
    const COUNT: usize = 12_000;
    let server = RedisServer::start_with_args(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let edge = Edge::start(&server).await;
    let tail = edge.tail(&["--from", "start"]);
    let mut publisher = edge.publish(&[]);
    let (lines, text) = input(COUNT);
    let publish = async {
        publisher.type_in(&text).await;
        publisher.ended().await
    };
    let chaos = async {
        for step in 1..=2 {
            until_length(&mut server.connection().await, step * COUNT / 4).await;
            server.restart().await;
        }
    };
    let (ended, (), (tailed, tail_ended)) = tokio::join!(publish, chaos, read_all(tail, COUNT));
    let in_redis = stored(&mut server.connection().await).await;
    same(&tailed, &in_redis, "the tail");
    assert!(!tail_ended.stderr.contains("!!!"), "{}", tail_ended.stderr);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    same(&in_redis, &lines, "the stream");
}

#[tokio::test]
async fn a_file_that_is_published_again_under_its_key_adds_nothing() {
    let server = RedisServer::start().await;
    let mut redis = server.connection().await;
    let edge = Edge::start(&server).await;
    let (lines, text) = input(500);
    for already in [0, 300] {
        let mut publisher = edge.publish(&["--key", "file"]);
        // The first run breaks off.
        let part: String = text
            .split_inclusive('\n')
            .take(if already == 0 { 300 } else { 500 })
            .collect();
        publisher.type_in(&part).await;
        let ended = publisher.ended().await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert_eq!(
            ended.stderr.contains("300 of them were there already"),
            already > 0,
            "{}",
            ended.stderr
        );
    }
    same(&stored(&mut redis).await, &lines, "the stream");
}

#[tokio::test]
async fn a_tail_that_is_restarted_goes_on_and_tells_what_was_trimmed() {
    let server = RedisServer::start().await;
    let mut redis = server.connection().await;
    let mut edge = Edge::start(&server).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cursor");
    let args = [
        "--from",
        "start",
        "--no-follow",
        "--resume",
        file.to_str().unwrap(),
    ];
    let publish = async |text: &str| {
        let ended = edge.publish(&[text]).ended().await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let answer: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        assert!(answer["id"].is_string() && answer["cursor"].is_string());
    };
    let ended = edge.tail(&["--from", "start", "--no-follow"]).ended().await;
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(0), ""),
        "{}",
        ended.stderr
    );
    publish("one").await;
    publish("two").await;
    let ended = edge.tail(&args).ended().await;
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(0), "one\ntwo\n"),
        "{}",
        ended.stderr
    );
    publish("three").await;
    edge.crash().await;
    let ended = edge.tail(&args).ended().await;
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(0), "three\n"),
        "{}",
        ended.stderr
    );
    for n in 4..=9 {
        let _: String = redis.xadd(KEY, "*", &[("d", n.to_string())]).await.unwrap();
    }
    let _: usize = redis
        .xtrim(KEY, redis::streams::StreamMaxlen::Equals(2))
        .await
        .unwrap();
    // An edge that had them in memory could still deliver them.
    edge.crash().await;
    let ended = edge.tail(&args).ended().await;
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(3), "8\n9\n"),
        "{}",
        ended.stderr
    );
    assert!(
        ended.stderr.contains("weir: !!! GAP: 4 events of log:x are gone"),
        "{}",
        ended.stderr
    );
    let ended = edge.tail(&args).ended().await;
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(0), ""),
        "a gap is told once: {}",
        ended.stderr
    );
}

#[tokio::test]
async fn several_streams_merge_in_the_order_of_time_through_filters() {
    let server = RedisServer::start().await;
    let edge = Edge::start(&server).await;
    let url = edge.url();
    for (stream, data) in [
        ("log:x", "x1"),
        ("doc/1", "d1"),
        ("log:x", "x2"),
        ("log:x", "no"),
        ("doc/1", "d2"),
    ] {
        let ended = weir(["publish", stream, data, "--url", &url]).ended().await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
    let fixed = [
        "tail",
        "log:x",
        "doc/1",
        "--url",
        &url,
        "--utc",
        "--grep",
        "[dx][0-9]",
    ];
    let ended = weir(fixed.into_iter().chain(["--from", "start", "--no-follow"]))
        .ended()
        .await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let shown: Vec<&str> = ended.stdout.lines().map(|line| &line[25..]).collect();
    assert_eq!(shown, ["log:x x1", "doc/1 d1", "log:x x2", "doc/1 d2"]);
    let ended = weir(fixed.into_iter().chain(["--since", "15m", "--until", "0s"]))
        .ended()
        .await;
    assert_eq!(
        (ended.code, ended.stdout.lines().count()),
        (Some(0), 4),
        "{}",
        ended.stderr
    );
}
