//! The promise under faults for Socket.IO: real Redis, three real edges behind a proxy that hands each connection to
//! the next of them, and a client that does what `socket.io-client` does, no more.
//!
//! Sockets over polling, over WebSocket, and over the one and then the other follow one stream or eight; some read
//! slowly, some are asleep for a while and wake up, some leave for good and come back. Producers publish at full speed,
//! over HTTP with idempotency keys and by raw `XADD`. Meanwhile edges are killed, told to end, stopped, and started
//! again, connections are cut in mid-frame at random bytes (between clients and edges, between edges and Redis), Redis
//! is killed and started again. In a second run streams are trimmed, lose single entries, are deleted and set back,
//! and sessions are lost. Then the checker that the other transports have too (`../faults/checker`) compares what each
//! socket handed to its application with what the streams held, read from Redis itself.
//!
//! A socket whose reconnects say `recovered: true` has to have everything, once and in order. `recovered: false` begins
//! a fresh session: the application subscribes again behind the last cursor it saw, and then it must have everything
//! too. In the first run no session may be fresh without a reason.
//!
//! A small run is part of the tests. The full run takes some minutes and prints its figures:
//!
//! ```text
//! WEIR_FAULTS=full cargo test --release -p edge --test sio_faults -- --nocapture
//! ```
//!
//! `WEIR_FAULTS_SEED=n` draws the faults as an earlier run did; the seed is printed. `WEIR_PEER=node` runs Socket.IO on
//! Node.js with its Redis Streams adapter (`benches/peers/socketio`) through the same, and prints its
//! figures beside ours. What is different there, in its favour: sockets that poll reach it through a second proxy, which
//! keeps each client at one server, for it needs that; it is given no raw `XADD`s, which it does not know; it keeps all
//! entries. And since it has no cursors, nothing can be asked of it where a session was fresh: what was missed there is
//! counted apart.

#![allow(clippy::unwrap_used)]
// A test binary has no outside.
#![allow(unreachable_pub)]

// Shared with the fault test of the other transports; some of it is only for that.
#[path = "../faults/chaos.rs"]
#[allow(dead_code)]
mod chaos;
#[path = "../faults/checker/mod.rs"]
mod checker;
#[path = "../faults/cluster.rs"]
#[allow(dead_code)]
mod cluster;
#[path = "../faults/course.rs"]
#[allow(dead_code)]
mod course;
#[path = "../faults/events.rs"]
#[allow(dead_code)]
mod events;
#[path = "../faults/http.rs"]
#[allow(dead_code)]
mod http;
#[path = "../faults/producers/mod.rs"]
#[allow(dead_code)]
mod producers;
#[path = "../faults/proxy/mod.rs"]
#[allow(dead_code)]
mod proxy;
#[path = "../faults/surroundings.rs"]
mod surroundings;
#[path = "../faults/truth.rs"]
#[allow(dead_code)]
mod truth;

mod dialect;
mod node_log;
mod report;
mod run;
mod scenario;
mod sockets;
mod zero_window;

use report::Report;
use scenario::{Scenario, Server};

fn seed() -> u64 {
    let given = std::env::var("WEIR_FAULTS_SEED").ok();
    given.map_or_else(
        || fastrand::u64(..1_000_000),
        |seed| seed.parse().expect("WEIR_FAULTS_SEED is a number"),
    )
}

/// The tests that start processes run one after the other: each wants the machine for itself.
static MACHINE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn is_full() -> bool {
    std::env::var("WEIR_FAULTS").is_ok_and(|size| size == "full")
}

fn with_peer() -> bool {
    std::env::var("WEIR_PEER").is_ok_and(|peer| peer == "node")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_socket_that_recovers_has_every_event_once_and_in_order() {
    let _turn = MACHINE.lock().await;
    let (rounds, quota) = if is_full() { (7, 300) } else { (1, 60) };
    let scenario = Scenario::safe(seed(), rounds, quota);
    let mut reports = vec![run::run(&scenario, Server::Weir).await];
    if with_peer() {
        reports.push(run::run(&scenario, Server::Node).await);
    }
    Report::print(&reports);
    reports[0].conclude();
    let found = reports[0].found();
    assert!(found.recovered > 0 && reports[0].cuts > 0);
    assert_eq!((found.judged.gaps, found.judged.resets), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_from_a_stream_is_told_to_every_socket() {
    let _turn = MACHINE.lock().await;
    let (rounds, quota) = if is_full() { (5, 200) } else { (1, 60) };
    let scenario = Scenario::with_removals(seed(), rounds, quota);
    let report = run::run(&scenario, Server::Weir).await;
    Report::print(std::slice::from_ref(&report));
    report.conclude();
    let found = report.found();
    assert!(found.judged.gaps > 0 && found.judged.resets > 0 && found.fresh > 0);
}
