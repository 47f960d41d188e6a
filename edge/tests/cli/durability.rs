//! Publishers that want more than the memory of the primary.

use broker::testing::{RedisServer, SentinelGroup};

use crate::edge_process::Edge;
use crate::real_edge::{stored, until_length};
use crate::weir_process::weir;

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
