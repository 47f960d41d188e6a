//! The promise under faults: real Redis, two real edges, real sockets.
//!
//! Producers publish at full speed, over HTTP with idempotency keys and by raw `XADD`. Subscribers read over SSE,
//! NDJSON and WebSocket, single streams and merged tails, fast, slowly, and with long absences, and come back to any
//! edge with their last cursor. Meanwhile edges are killed, stopped, told to end and started again, connections are cut in
//! mid-frame at random bytes (between clients and edges, and between edges and Redis), Redis is killed and started
//! again, a stream is trimmed while it is read, one has single entries deleted, one is deleted and created anew, one
//! is set back to an earlier state. Then [`checker`] compares what each subscriber received with what the streams
//! held, read from Redis itself. In a run of its own Redis is replaced by its replica, again and again.
//!
//! A small run is part of the tests. The full run takes a few minutes and prints its figures:
//!
//! ```text
//! WEIR_FAULTS=full cargo test --release -p edge --test faults -- --nocapture
//! ```
//!
//! `WEIR_FAULTS_SEED=n` draws the faults, the bytes at which connections are cut, and the ways of the subscribers as
//! an earlier run did; the seed is printed. What the machine does in between is not drawn.
//!
//! # That it fails when it must
//!
//! [`checker`] has tests of its own that it finds each kind of fault. And each of these changes to
//! `broker/src/subscriber/slot.rs`, made once on purpose, made the small run fail (seed 1; nothing else was changed):
//!
//! * **The join of history to live**: `Slot::take_page` forgets the last entry of a page from which it goes on to the
//!   ring (`self.items.pop_back()` before `self.go_live(join)`). "missing: 1 before Event { id: 1795437105341-0, … },
//!   after Some(1795437105162-17)", and so on, 79 events missing without a verdict.
//! * **The resume**: `Slot::begin` ignores the last entry of the cursor (`From::Cursor` goes on from the predecessor of
//!   its ID, with an ordinal less by one). "doubled: Event { id: 1795437297387-17, … }, after
//!   Some(1795437297387-17)", 537 events doubled; and 13 wrong gaps, 24 resets and 8 `unverified` where the entry
//!   before had been trimmed, deleted or was of another history.
//! * **The verdict of a resume**: `Slot::take_page` tells it only while it catches up (`told && !first`). "Event { … }
//!   of history 1 came without a reset", 12,868 events missing without a verdict.

#![allow(clippy::unwrap_used)]
// A test binary has no outside.
#![allow(unreachable_pub)]

// Some is for the other fault tests, `sio_faults` and `outage`, which share it.
#[allow(dead_code)]
mod chaos;
#[allow(dead_code)]
mod checker;
#[allow(dead_code)]
mod cluster;
#[allow(dead_code)]
mod course;
mod events;
mod frames;
mod http;
mod producers;
mod proxy;
mod report;
mod run;
mod scenario;
mod slow_readers;
mod subscribers;
#[allow(dead_code)]
mod surroundings;
mod tails;
#[allow(dead_code)]
mod truth;

use scenario::Scenario;

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

#[tokio::test(flavor = "multi_thread")]
async fn every_subscriber_receives_every_event_once_and_in_order_or_is_told() {
    let _turn = MACHINE.lock().await;
    let seed = seed();
    let (rounds, quota) = if is_full() { (8, 300) } else { (1, 150) };
    let faults = chaos::plan(chaos::SAFE, rounds, &mut fastrand::Rng::with_seed(seed));
    let scenario = Scenario {
        seed,
        faults,
        quota,
        loses_power: false,
        sentinels: 0,
    };
    let report = run::run(&scenario).await;
    let (published, received) = report.conclude();
    assert!(published.acknowledged > 0 && received.gaps > 0 && received.resets > 0);
    assert!(
        report.cuts > 0
            && report
                .subscribers
                .iter()
                .any(|record| record.cut_in_mid_frame > 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_redis_loses_with_the_power_is_told_to_all_who_saw_it() {
    let _turn = MACHINE.lock().await;
    let seed = seed();
    let (rounds, quota) = if is_full() { (6, 500) } else { (1, 200) };
    let faults = chaos::plan(chaos::UNSAFE, rounds, &mut fastrand::Rng::with_seed(seed));
    let scenario = Scenario {
        seed,
        faults,
        quota,
        loses_power: true,
        sentinels: 0,
    };
    let report = run::run(&scenario).await;
    let (published, received) = report.conclude();
    assert!(published.lost_with_power > 0 && received.resets > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_fail_over_rolls_back_is_told_to_all_who_saw_it() {
    let _turn = MACHINE.lock().await;
    let seed = seed();
    let (rounds, quota) = if is_full() { (4, 500) } else { (1, 150) };
    let faults = chaos::plan(chaos::FAIL_OVERS, rounds, &mut fastrand::Rng::with_seed(seed));
    let scenario = Scenario {
        seed,
        faults,
        quota,
        loses_power: true,
        sentinels: 3,
    };
    let report = run::run(&scenario).await;
    let (published, received) = report.conclude();
    assert!(published.lost_with_power > 0 && received.resets > 0);
}
