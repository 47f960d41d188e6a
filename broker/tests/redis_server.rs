//! The server that the other tests run against: starts, dies and comes back when told, and leaves nothing behind.
#![allow(clippy::unwrap_used)]

use broker::testing::RedisServer;
use redis::AsyncCommands as _;

#[tokio::test]
async fn starts_restarts_and_cleans_up() {
    let server = RedisServer::start().await;
    let () = server.connection().await.set("key", 1).await.unwrap();
    let first = server.pid().unwrap();
    server.restart().await;
    assert_ne!(server.pid().unwrap(), first);
    let kept: Option<i64> = server.connection().await.get("key").await.unwrap();
    assert_eq!(kept, None, "without persistence it comes back empty");
    server.kill();
    assert_eq!(server.pid(), None);
    let folder = server.folder().to_owned();
    drop(server);
    assert!(!folder.exists());
}

#[tokio::test]
async fn arguments_win_and_an_append_only_file_survives_a_kill() {
    let server = RedisServer::start_with_args(&["--appendonly", "yes"]).await;
    let () = server.connection().await.set("key", 7).await.unwrap();
    server.restart().await;
    let kept: Option<i64> = server.connection().await.get("key").await.unwrap();
    assert_eq!(kept, Some(7));
}
