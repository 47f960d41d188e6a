//! Session records and the edge registry on a Redis that is lost, restarted, emptied, or holds something else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::testing::RedisServer;
use broker::{ClusterSecret, Log, RedisLog, Saved, SessionError, Touched};
use bytes::Bytes;
use futures_util::future::join_all;
use redis::cmd;
use shared::limits::RECORD_TIMEOUT;
use shared::{EdgeId, SessionId};

use crate::proxy::{Mode, Proxy};
use crate::support::*;

const LONG: Duration = Duration::from_secs(600);

fn id(n: u64) -> SessionId {
    let mut bytes = [7; 18];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    SessionId::from_random(bytes)
}

fn session_key(n: u64) -> String {
    format!("weir:session:{{{}}}", id(n).as_str())
}

fn record(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

/// Milliseconds that a key lives on; below zero if it does so for ever or is not there.
async fn lives_ms(server: &RedisServer, key: &str) -> i64 {
    raw(server, cmd("PTTL").arg(key)).await
}

/// Waits until sessions can be stored.
async fn available(log: &RedisLog, n: u64) {
    until("sessions to be stored", async || {
        log.sessions().create(&id(n), record("probe"), LONG).await.is_ok()
    })
    .await;
}

fn is_unavailable<T>(outcome: &Result<T, SessionError>) -> bool {
    matches!(outcome, Err(SessionError::Unavailable(_)))
}

#[tokio::test]
async fn keys_are_what_is_documented_and_live_as_long_as_they_shall() {
    let server = RedisServer::start().await;
    let log = log(server.url()).await;
    let sessions = log.sessions();
    let within = |ms: i64, ttl: Duration| {
        let ttl_ms = ttl.as_millis() as i64;
        assert!(ms <= ttl_ms && ms > ttl_ms - 60_000, "{ms} of {ttl_ms}");
    };
    let first = sessions.create(&id(1), record("a"), LONG).await.unwrap();
    within(lives_ms(&server, &session_key(1)).await, LONG);
    let stored: Vec<String> = raw(&server, cmd("HMGET").arg(session_key(1)).arg("g").arg("r")).await;
    assert_eq!(stored, ["1", "a"]);
    sessions.touch(&id(1), 2 * LONG).await.unwrap();
    within(lives_ms(&server, &session_key(1)).await, 2 * LONG);
    let taken = sessions.take_over(&id(1), 3 * LONG).await.unwrap().unwrap();
    within(lives_ms(&server, &session_key(1)).await, 3 * LONG);
    sessions
        .save(&id(1), taken.generation, record("b"), LONG)
        .await
        .unwrap();
    within(lives_ms(&server, &session_key(1)).await, LONG);
    // Who was taken over changes nothing, the life of the record included.
    sessions.save(&id(1), first, record("c"), 4 * LONG).await.unwrap();
    within(lives_ms(&server, &session_key(1)).await, LONG);

    let edge = EdgeId::from_random([1; 6]);
    log.edges().announce(edge, "10.0.0.1:7401", LONG).await.unwrap();
    within(lives_ms(&server, &format!("weir:edge:{{{edge}}}")).await, LONG);
    let secret = ClusterSecret::from_random([1; 32]);
    log.edges().cluster_secret(secret).await.unwrap();
    assert_eq!(lives_ms(&server, "weir:cluster:{secret}").await, -1, "for ever");
    // An expiry that Redis could not count to is one that it can.
    sessions.create(&id(2), record("a"), Duration::MAX).await.unwrap();
    assert!(lives_ms(&server, &session_key(2)).await > LONG.as_millis() as i64);
    sessions
        .create(&id(3), record("a"), Duration::ZERO)
        .await
        .unwrap();
    until("the shortest life to end", async || {
        sessions.touch(&id(3), Duration::ZERO).await == Ok(Touched::Gone)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_edges_that_race_for_a_session() {
    const SESSIONS: u64 = 200;
    let server = RedisServer::start().await;
    let edges = [log(server.url()).await, log(server.url()).await];
    let creates = (0..SESSIONS).map(|n| edges[0].sessions().create(&id(n), record("a"), LONG));
    assert!(join_all(creates).await.iter().all(Result::is_ok));
    let race = async |edge: Arc<RedisLog>| {
        let taken = join_all((0..SESSIONS).map(|n| edge.sessions().take_over(&id(n), LONG))).await;
        taken
            .into_iter()
            .map(|taken| taken.unwrap().unwrap().generation)
            .collect::<Vec<_>>()
    };
    let [one, other] = edges.clone();
    let (one, other) = tokio::join!(
        tokio::spawn(async move { race(one).await }),
        tokio::spawn(async move { race(other).await })
    );
    for (n, (one, other)) in (0..).zip(one.unwrap().into_iter().zip(other.unwrap())) {
        assert_ne!(one, other);
        let save =
            |edge: usize, generation| edges[edge].sessions().save(&id(n), generation, record("b"), LONG);
        let saved = [save(0, one).await.unwrap(), save(1, other).await.unwrap()];
        let expected = if one > other {
            [Saved::Saved, Saved::TakenOver]
        } else {
            [Saved::TakenOver, Saved::Saved]
        };
        assert_eq!(saved, expected);
    }
}

/// One round trip each would be two thousand reads of the server.
#[tokio::test]
async fn many_calls_at_once_are_pipelined() {
    const SESSIONS: u64 = 2_000;
    let server = RedisServer::start().await;
    let log = log(server.url()).await;
    let reads = async || {
        let stats: String = raw(&server, cmd("INFO").arg("stats")).await;
        let line = stats
            .lines()
            .find_map(|line| line.strip_prefix("total_reads_processed:"));
        line.unwrap().parse::<u64>().unwrap()
    };
    let before = reads().await;
    let creates = (0..SESSIONS).map(|n| log.sessions().create(&id(n), record("a"), LONG));
    let created = in_time("the creates", join_all(creates)).await;
    assert!(created.iter().all(Result::is_ok));
    let touches = (0..SESSIONS).map(|n| log.sessions().touch(&id(n), LONG));
    let touched = in_time("the touches", join_all(touches)).await;
    assert!(touched.iter().all(|touched| *touched == Ok(Touched::Known)));
    let took = reads().await - before;
    assert!(took < SESSIONS / 5, "{took} reads for {} calls", 2 * SESSIONS);
}

#[tokio::test]
async fn calls_fail_fast_while_redis_is_away_and_work_when_it_is_back() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(server.socket());
    let log = log(proxy.url()).await;
    let generation = log.sessions().create(&id(1), record("a"), LONG).await.unwrap();
    proxy.set(Mode::Refuse);
    proxy.cut();
    let begun = Instant::now();
    let sessions = log.sessions();
    assert!(is_unavailable(&sessions.create(&id(2), record("a"), LONG).await));
    assert!(is_unavailable(&sessions.take_over(&id(1), LONG).await));
    assert!(is_unavailable(
        &sessions.save(&id(1), generation, record("b"), LONG).await
    ));
    assert!(is_unavailable(&sessions.touch(&id(1), LONG).await));
    assert!(is_unavailable(&sessions.end(&id(1), generation).await));
    log.edges().find(EdgeId::from_random([1; 6])).await.unwrap_err();
    let touches = join_all((0..10_000).map(|n| sessions.touch(&id(n), LONG)));
    assert!(touches.await.iter().all(is_unavailable));
    assert!(begun.elapsed() < RECORD_TIMEOUT / 2, "{:?}", begun.elapsed());
    proxy.set(Mode::Pass);
    available(&log, 3).await;
    assert_eq!(
        sessions.take_over(&id(1), LONG).await.unwrap().unwrap().record,
        "a"
    );
}

#[tokio::test]
async fn a_connection_that_does_not_answer_is_given_up() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(server.socket());
    let log = log(proxy.url()).await;
    // So that Redis knows the script.
    available(&log, 2).await;
    proxy.set(Mode::SwallowReplies);
    let begun = Instant::now();
    let lost = in_time("the verdict", log.sessions().create(&id(1), record("a"), LONG)).await;
    assert!(is_unavailable(&lost), "{lost:?}");
    // Nobody else finds out by that same connection.
    assert!(is_unavailable(
        &log.sessions().create(&id(3), record("a"), LONG).await
    ));
    assert!(
        begun.elapsed() < RECORD_TIMEOUT + RECORD_TIMEOUT / 2,
        "{:?}",
        begun.elapsed()
    );
    proxy.set(Mode::Pass);
    available(&log, 2).await;
    let taken = log.sessions().take_over(&id(1), LONG).await.unwrap();
    assert_eq!(taken.unwrap().record, "a", "done, though nobody heard of it");
}

#[tokio::test]
async fn records_survive_a_killed_redis_that_writes_a_file() {
    let server = RedisServer::start_with_args(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let log = log(server.url()).await;
    let sessions = log.sessions();
    sessions.create(&id(1), record("a"), LONG).await.unwrap();
    let taken = sessions.take_over(&id(1), LONG).await.unwrap().unwrap();
    sessions
        .save(&id(1), taken.generation, record("b"), LONG)
        .await
        .unwrap();
    server.restart().await;
    available(&log, 2).await;
    let again = sessions.take_over(&id(1), LONG).await.unwrap().unwrap();
    assert_eq!(again.record, "b");
    assert!(again.generation > taken.generation);
    assert_eq!(
        sessions.save(&id(1), taken.generation, record("c"), LONG).await,
        Ok(Saved::TakenOver)
    );
}

#[tokio::test]
async fn a_redis_that_lost_its_data_gets_the_records_again() {
    let server = RedisServer::start().await;
    let log = log(server.url()).await;
    let sessions = log.sessions();
    let first = sessions.create(&id(1), record("a"), LONG).await.unwrap();
    let second = sessions
        .take_over(&id(1), LONG)
        .await
        .unwrap()
        .unwrap()
        .generation;
    let secret = ClusterSecret::from_random([1; 32]);
    log.edges().cluster_secret(secret).await.unwrap();
    server.restart().await;
    available(&log, 2).await;
    assert_eq!(sessions.touch(&id(1), LONG).await, Ok(Touched::Gone));
    // One that was taken over may be the first to come back.
    let save = |generation, text| sessions.save(&id(1), generation, record(text), LONG);
    assert_eq!(save(first, "stale").await, Ok(Saved::Saved));
    let third = sessions
        .take_over(&id(1), LONG)
        .await
        .unwrap()
        .unwrap()
        .generation;
    assert!(third > second);
    assert_eq!(save(second, "stale").await, Ok(Saved::TakenOver));
    assert_eq!(save(third, "b").await, Ok(Saved::Saved));
    let other = ClusterSecret::from_random([2; 32]);
    assert_eq!(
        log.edges().cluster_secret(secret).await,
        Ok(secret),
        "an edge puts it back"
    );
    assert_eq!(log.edges().cluster_secret(other).await, Ok(secret));
}

#[tokio::test]
async fn scripts_that_redis_has_forgotten_are_told_again() {
    let server = RedisServer::start().await;
    let log = log(server.url()).await;
    let sessions = log.sessions();
    for n in 0..3 {
        run(&server, "SCRIPT FLUSH").await;
        sessions.create(&id(n), record("a"), LONG).await.unwrap();
        run(&server, "SCRIPT FLUSH").await;
        let taken = sessions.take_over(&id(n), LONG).await.unwrap().unwrap();
        run(&server, "SCRIPT FLUSH").await;
        let saved = sessions.save(&id(n), taken.generation, record("b"), LONG).await;
        assert_eq!(saved, Ok(Saved::Saved));
        run(&server, "SCRIPT FLUSH").await;
        sessions.end(&id(n), taken.generation).await.unwrap();
        assert_eq!(sessions.touch(&id(n), LONG).await, Ok(Touched::Gone));
    }
    run(&server, "SCRIPT FLUSH").await;
    let creates = (10..1_010).map(|n| sessions.create(&id(n), record("a"), LONG));
    assert!(join_all(creates).await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn what_is_no_session_is_none_and_stays() {
    let server = RedisServer::start().await;
    let log = log(server.url()).await;
    let sessions = log.sessions();
    let generation = sessions.create(&id(1), record("a"), LONG).await.unwrap();
    run(&server, &format!("SET {} other", session_key(2))).await;
    run(&server, &format!("HSET {} g 1", session_key(3))).await;
    run(&server, &format!("HSET {} g one r a", session_key(4))).await;
    for n in 2..=4 {
        assert_eq!(sessions.take_over(&id(n), LONG).await, Ok(None));
        assert_eq!(sessions.end(&id(n + 100), generation).await, Ok(()));
    }
    assert_eq!(sessions.end(&id(2), generation).await, Ok(()));
    let saved = sessions.save(&id(2), generation, record("b"), LONG).await;
    assert!(matches!(saved, Err(SessionError::Refused(_))), "{saved:?}");
    let text = saved.unwrap_err().to_string();
    assert!(!text.contains(id(2).as_str()), "{text}");
    let other: String = raw(&server, cmd("GET").arg(session_key(2))).await;
    assert_eq!(other, "other");

    run(&server, "SET weir:cluster:{secret} short").await;
    let secret = ClusterSecret::from_random([1; 32]);
    log.edges().cluster_secret(secret).await.unwrap_err();
    let edge = EdgeId::from_random([1; 6]);
    run(&server, &format!("LPUSH weir:edge:{{{edge}}} a")).await;
    log.edges().find(edge).await.unwrap_err();
    // A refusal is no reason to think that Redis is away.
    log.check().await.unwrap();
}

#[tokio::test]
async fn full_memory_is_told_as_such() {
    let server =
        RedisServer::start_with_args(&["--maxmemory", "8mb", "--maxmemory-policy", "noeviction"]).await;
    let log = log(server.url()).await;
    let sessions = log.sessions();
    let large = Bytes::from(vec![b'x'; 60_000]);
    let mut stored = 0;
    let error = in_time("the memory to be full", async {
        loop {
            match sessions.create(&id(stored), large.clone(), LONG).await {
                Ok(_) => stored += 1,
                Err(error) => break error,
            }
        }
    })
    .await;
    assert!(error.to_string().contains("memory"), "{error}");
    assert!(is_unavailable(&Err::<(), _>(error)));
    run(&server, "CONFIG SET maxmemory 100mb").await;
    sessions.create(&id(stored), large, LONG).await.unwrap();
}
