//! What subscribers and publishers are told while Redis, an edge or the network between them is away, held against what
//! the log holds: real Redis, three real edges, each behind a proxy, and a proxy between each edge and Redis.
//!
//! Subscribers follow over `/v1/ws`, server-sent events, NDJSON and Socket.IO (polling, WebSocket, and the one and then
//! the other), at each edge. Publishers publish at a steady pace over HTTP and WebSocket, with idempotency keys and
//! without, at each edge. In each [`case`] something goes wrong for a while, under load, and is mended. Then:
//!
//! * every subscriber has every event exactly once and in order, or an explicit verdict in its place;
//! * everything acknowledged is in the log once, where the answer said; everything refused is not; what is in doubt may be;
//! * every subscriber of an edge that is cut off was told so once for each stream (`degraded`), and when it was live again
//!   (`restored`); nobody else was;
//! * every publish was answered, and was refused at once when it was known that Redis is away;
//! * no connection of a client ended because Redis was away, and only those of an edge that went with it;
//! * an edge that was cut off from Redis said so (`/readyz`), and the others did not.
//!
//! In front of a Redis Cluster, [`redis_cluster`] moves slots and promotes a replica under the same load.
//!
//! Small outages are part of the tests. The full ones last for 30 s each:
//!
//! ```text
//! WEIR_FAULTS=full cargo test --release -p edge --test outage -- --nocapture
//! ```

#![allow(clippy::unwrap_used)]
// A test binary has no outside.
#![allow(unreachable_pub)]

// Shared with the fault tests, which do more with it.
#[path = "../faults/checker/mod.rs"]
#[allow(dead_code)]
mod checker;
#[path = "../faults/cluster.rs"]
#[allow(dead_code)]
mod cluster;
#[path = "../faults/events.rs"]
#[allow(dead_code)]
mod events;
#[path = "../faults/frames.rs"]
#[allow(dead_code)]
mod frames;
#[path = "../faults/http.rs"]
#[allow(dead_code)]
mod http;
#[path = "../faults/proxy/mod.rs"]
#[allow(dead_code)]
mod proxy;
#[path = "../faults/subscribers.rs"]
#[allow(dead_code)]
mod subscribers;
#[path = "../faults/surroundings.rs"]
#[allow(dead_code)]
mod surroundings;
#[path = "../faults/tails.rs"]
mod tails;
#[path = "../faults/truth.rs"]
#[allow(dead_code)]
mod truth;

#[path = "../sio_faults/dialect.rs"]
#[allow(dead_code)]
mod dialect;
#[path = "../sio_faults/sockets.rs"]
#[allow(dead_code)]
mod sockets;

mod case;
mod judge;
mod publishers;
mod redis_cluster;
mod report;
mod run;
mod scenario;

use std::time::Duration;

use case::Case;
use cluster::Cluster;
use truth::Operator;

/// Held by the test that runs: they would take each other's processor time.
static MACHINE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// How long each outage lasts at the least. Longer than an append waits for Redis, in either size.
fn lasts() -> Duration {
    let is_full = std::env::var("WEIR_FAULTS").is_ok_and(|size| size == "full");
    Duration::from_secs(if is_full { 30 } else { 4 })
}

#[tokio::test(flavor = "multi_thread")]
async fn while_something_is_away_everybody_is_told_the_truth() {
    let _turn = MACHINE.lock().await;
    let seed = u64::from(std::process::id());
    let mut cluster = Cluster::start(&scenario::setup(seed)).await;
    let mut operator = Operator::connect(&cluster.redis.socket(), seed).await.unwrap();
    let mut runs = Vec::new();
    for case in Case::ALL {
        runs.push(run::run(&mut cluster, &mut operator, case, lasts()).await);
    }
    report::conclude(&runs);
}
