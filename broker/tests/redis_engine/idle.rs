//! Connections that nobody uses: an edge that says it is not ready is given nothing to do, and has to get ready by itself.

use broker::Log;
use broker::testing::RedisServer;

use crate::proxy::{Mode, Proxy};
use crate::support::*;

#[tokio::test]
async fn connections_that_died_without_a_word_are_replaced_though_nobody_publishes() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(server.socket());
    let log = log(proxy.url()).await;
    proxy.set(Mode::SwallowReplies);
    assert!(log.check().await.is_err());
    // What was lost does not come back, and no connection ends.
    proxy.set(Mode::Pass);
    until("the log to be ready", async || log.check().await.is_ok()).await;
    log.append(&name("a"), number(1)).await.unwrap();
}

#[tokio::test]
async fn a_server_that_has_become_a_replica_is_left_though_nobody_publishes() {
    let server = RedisServer::start().await;
    let log = log(server.url()).await;
    log.check().await.unwrap();
    let before = connections(&server).await;
    run(&server, "REPLICAOF 127.0.0.1 1").await;
    // Two for appends and one for sessions are opened again and again, in case another server is there now. The test's own
    // connections come on top.
    let mut asked = 0;
    until("connections to be opened anew", async || {
        asked += 1;
        connections(&server).await >= before + asked + 3
    })
    .await;
    run(&server, "REPLICAOF NO ONE").await;
    until("the log to be ready", async || log.check().await.is_ok()).await;
}

/// Connections that the server has taken so far.
async fn connections(server: &RedisServer) -> u64 {
    let stats: String = raw(server, redis::cmd("INFO").arg("stats")).await;
    let line = stats
        .lines()
        .find_map(|line| line.strip_prefix("total_connections_received:"));
    line.unwrap().parse().unwrap()
}
