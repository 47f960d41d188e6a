//! `weir publish` and `weir tail` against `weir serve` on a real Redis, all of them as processes, while edges and
//! Redis are killed with SIGKILL: what is tailed is what was typed in.

use std::time::{Duration, Instant};

use broker::testing::{RedisServer, SentinelGroup};
use redis::AsyncCommands as _;
use redis::aio::MultiplexedConnection;

use crate::edge_process::{DEADLINE, Edge};
use crate::weir_process::{Ended, Weir, weir};

/// Where Weir keeps the stream of these tests.
const KEY: &str = "weir:{log:x}";

/// Waits until the stream has at least so many entries.
async fn until_length(redis: &mut MultiplexedConnection, length: usize) {
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
async fn stored(redis: &mut MultiplexedConnection) -> Vec<String> {
    let range: redis::streams::StreamRangeReply = redis.xrange_all(KEY).await.unwrap();
    let data = |entry: redis::streams::StreamId| entry.get::<String>("d").unwrap();
    let text = |data: String| serde_json::from_str(&data).unwrap();
    range.ids.into_iter().map(data).map(text).collect()
}

fn input(count: usize) -> (Vec<String>, String) {
    let lines: Vec<String> = (0..count)
        .map(|n| format!("line {n} {}", "x".repeat(n % 150)))
        .collect();
    let text = lines.iter().map(|line| format!("{line}\n")).collect();
    (lines, text)
}

/// Reads a tail to the last line, and ends it.
async fn read_all(mut tail: Weir, count: usize) -> (Vec<String>, Ended) {
    let mut lines = Vec::with_capacity(count);
    while lines.len() < count {
        lines.push(tail.line().await);
    }
    tail.signal("TERM");
    (lines, tail.ended().await)
}

#[track_caller]
fn same(got: &[String], expected: &[String], what: &str) {
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_are_sent_again_until_a_replica_has_them() {
    let group = SentinelGroup::start(1, &[]).await;
    let edge = Edge::start_at(group.url()).await;
    let mut redis = group.primary().connection().await;
    group.replica().pause();
    let mut lines = edge.publish(&["--durability", "replicas:1"]);
    lines.type_in("a\nb\n").await;
    lines.close_input();
    until_length(&mut redis, 2).await;
    let one = edge.publish(&["--durability", "replicas:1", "--retry-for", "1s", "c"]);
    let ended = one.ended().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains("in the log, but not as durable"),
        "{ended:?}"
    );
    assert!(!lines.has_ended(), "no replica has them");
    group.replica().resume();
    let ended = lines.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(stored(&mut redis).await, ["a", "b", "c"]);
    let wrong = edge.publish(&["--durability", "some", "c"]).ended().await;
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    assert!(wrong.stderr.contains("replicas:N"), "{wrong:?}");
}

#[tokio::test]
async fn an_edge_that_cannot_keep_its_durability_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weir.toml");
    let file = file.to_str().unwrap();
    std::fs::write(file, "[publish]\ndurability = \"fsync\"\n").unwrap();
    let ended = weir(["check-config", "--config", file]).ended().await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(
        ended.stderr.contains("publish.durability: fsync needs redis.url"),
        "{ended:?}"
    );
    // It keeps no append-only file, whatever its version.
    let redis = RedisServer::start().await;
    let url = redis.url();
    let ended = weir([
        "serve",
        "--config",
        file,
        "--redis",
        &url,
        "--listen",
        "127.0.0.1:0",
    ]);
    let ended = ended.ended().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(ended.stderr.trim().lines().count(), 1, "{ended:?}");
    assert!(
        ended
            .stderr
            .contains("publish.durability = \"fsync\" cannot be kept"),
        "{ended:?}"
    );
}
