//! Which server is the master, and what is said when nobody knows.

use std::time::Duration;

use broker::testing::{MASTER, RedisServer, Sentinel, SentinelGroup, free_port};
use broker::{Log, RedisConfig, RedisLog};
use shared::limits::SENTINEL_POLL_INTERVAL;

use crate::support::*;

async fn refused(url: String) -> String {
    let error = match in_time("the refusal", RedisLog::connect(RedisConfig::new(url))).await {
        Ok(_) => panic!("connected"),
        Err(error) => error.to_string(),
    };
    assert!(!error.contains('\n') && !error.contains("secret"), "{error}");
    error
}

#[tokio::test]
async fn sentinels_that_are_away_or_know_nothing_do_not_matter() {
    let group = SentinelGroup::start(1, &[]).await;
    let other = Sentinel::start(free_port(), 1);
    in_time("another name", async {
        while other.ask(&["SENTINEL", "REMOVE", MASTER]).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let known = group.url();
    let (scheme, rest) = known.split_once("://").unwrap();
    let url = format!(
        "{scheme}://127.0.0.1:{},127.0.0.1:{},{rest}",
        free_port(),
        other.port()
    );
    let log = log(url).await;
    let stream = name("doc:1");
    log.append(&stream, number(0)).await.unwrap();
    assert_eq!(numbers(&log, &stream).await, [0]);
    assert_eq!(length(group.primary(), &stream).await, 1);
}

/// A Sentinel that was away during a fail-over, and reaches nobody who could tell it.
#[tokio::test]
async fn the_sentinel_that_knows_of_the_last_fail_over_is_believed() {
    let mut group = SentinelGroup::start(1, &[]).await;
    let old = group.primary_port();
    let stream = name("doc:1");
    group.fail_over_at_once().await;
    let late = Sentinel::start(old, 1);
    until("the Sentinel answers", async || late.ask(&["PING"]).await.is_ok()).await;
    let known = group.url();
    let (scheme, rest) = known.split_once("://").unwrap();
    let log = log(format!("{scheme}://127.0.0.1:{},{rest}", late.port())).await;
    until("an append", async || log.append(&stream, keyed(0)).await.is_ok()).await;
    assert_eq!(length(group.primary(), &stream).await, 1);

    // Nor is it believed when it is the only one that is left.
    let last = group.sentinel(0).ask(&["SHUTDOWN", "NOSAVE"]).await;
    assert!(last.is_err(), "it ends without an answer: {last:?}");
    let uptime = async || {
        let info: String = redis::from_redis_value(late.ask(&["INFO", "server"]).await.unwrap()).unwrap();
        let seconds = info.split_once("uptime_in_seconds:").unwrap().1;
        Duration::from_secs(seconds.split_once('\r').unwrap().0.parse().unwrap())
    };
    let before = uptime().await;
    until("it could be asked a few times", async || {
        uptime().await >= before + 4 * SENTINEL_POLL_INTERVAL
    })
    .await;
    log.append(&stream, number(1)).await.unwrap();
    assert_eq!(length(group.primary(), &stream).await, 2);
}

#[tokio::test]
async fn each_failure_is_one_line() {
    let nobody = free_port();
    let error = refused(format!("redis-sentinel://:secret@127.0.0.1:{nobody}/{MASTER}")).await;
    assert!(
        error.contains(MASTER) && error.contains(&nobody.to_string()),
        "{error}"
    );
    let server_port = free_port();
    let text = server_port.to_string();
    let server = RedisServer::start_with_args(&["--port", &text, "--bind", "127.0.0.1"]).await;
    let sentinel = Sentinel::start(server_port, 1);
    until("the Sentinel answers", async || {
        sentinel.ask(&["PING"]).await.is_ok()
    })
    .await;
    let error = refused(format!("redis-sentinel://127.0.0.1:{}/other", sentinel.port())).await;
    assert!(error.contains("no master of this name"), "{error}");
    let error = refused(format!("redis://127.0.0.1:{}", sentinel.port())).await;
    assert!(error.contains("redis-sentinel://"), "{error}");
    let error = refused(format!("redis-sentinel://127.0.0.1:{server_port}/{MASTER}")).await;
    assert!(error.contains("no Sentinel"), "{error}");
    run(&server, &format!("REPLICAOF 127.0.0.1 {nobody}")).await;
    let error = refused(format!("redis-sentinel://127.0.0.1:{}/{MASTER}", sentinel.port())).await;
    assert!(error.contains("says that it is none"), "{error}");
}

#[tokio::test]
async fn sentinels_may_want_a_password_of_their_own() {
    let group = SentinelGroup::start(1, &[]).await;
    run(group.primary(), "ACL SETUSER weir on >secret ~* &* +@all").await;
    let user = ["ACL", "SETUSER", "asks", "on", ">secret2", "&*", "+@all"];
    group.sentinel(0).ask(&user).await.unwrap();
    group
        .sentinel(0)
        .ask(&["ACL", "SETUSER", "default", "off"])
        .await
        .unwrap();
    let url = group.url().replace("://", "://weir:secret@");
    let error = refused(url.clone()).await;
    assert!(error.contains("no Sentinel"), "{error}");
    let log = log(format!("{url}?sentinel_user=asks&sentinel_password=secret2")).await;
    log.append(&name("doc:1"), number(0)).await.unwrap();
    assert_eq!(numbers(&log, &name("doc:1")).await, [0]);
}
