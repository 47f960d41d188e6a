//! Clients that are connected and stop reading, as a laptop does whose lid is closed: the edge closes them on time, and
//! until then they cost little, however much they are behind. When they wake up they recover, and miss nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use benches::client::Transports;
use shared::StreamName;
use shared::limits::LOG_PAGE_BYTES_MAX;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::checker::{Findings, Removal, StreamTruth, check};
use crate::cluster::{Cluster, Front, Setup};
use crate::dialect::Dialect;
use crate::events::BIG;
use crate::http;
use crate::producers::{self, Quota, RawForm};
use crate::scenario::{PINGS, Scenario, Server, WRITE_TIMEOUT};
use crate::sockets::{Habit, Plan, Record, Socket};
use crate::surroundings::Surroundings;
use crate::truth::Operator;

/// Longest wait for each part of the test.
const PART: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(10);
/// How much later than it should an edge may close a connection: the machine may be busy.
const SLACK: Duration = Duration::from_secs(30);
/// Bytes of an event on the wire, at least.
const EVENT_BYTES: u64 = 4_000;
/// What the edge may have at its peak beside its sockets: its code, its threads, a recent ring with encodings.
const MEMORY_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// What a socket may cost: two pages of the log and what waits to be sent.
const SOCKET_BYTES_MAX: u64 = 2 * LOG_PAGE_BYTES_MAX as u64 + 128 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_stop_reading_are_closed_on_time_cost_little_and_recover() {
    let _turn = crate::MACHINE.lock().await;
    let (sockets, events) = if crate::is_full() {
        (300, 10_000)
    } else {
        (18, 3_000)
    };
    let setup = Setup {
        edges: 1,
        front: Front::EachItsOwn,
        ..Scenario::safe(1, 0, 0).setup(Server::Weir)
    };
    let cluster = Cluster::start(&setup).await;
    let mut operator = Operator::connect(&cluster.redis.socket(), 1).await.unwrap();
    let stream: StreamName = "big".parse().unwrap();
    let (end, surroundings) = Surroundings::new(vec![cluster.edges[0].address]);
    let surroundings = Arc::new(surroundings);

    let mut tasks = JoinSet::new();
    for number in 0..sockets {
        let plan = plan(number, &stream);
        tasks.spawn(Socket::new(plan, surroundings.clone(), Arc::default()).run());
    }
    let publishing = publish(&cluster, &stream, events, &surroundings);
    let watching = all_closed(cluster.edges[0].address, &surroundings, sockets);
    let ((), took) = tokio::join!(publishing, watching);
    let last = operator.add_last(&stream).await.unwrap();
    let peak = cluster.edges[0].peak_memory_bytes();

    surroundings.calm.cancel();
    end.send_replace(Some(BTreeMap::from([(stream.clone(), last)])));
    let records = timeout(PART, tasks.join_all())
        .await
        .expect("they do not come to the end");
    let truth = operator.truth(&stream, Removal::Front).await.unwrap();
    let unsent = EVENT_BYTES * u64::from(events) * sockets as u64;
    let allowed = MEMORY_BYTES_MAX + SOCKET_BYTES_MAX * sockets as u64;
    println!(
        "\n{sockets} sockets stopped reading, {} MiB behind together: closed {:.1} s after the last one stopped; the \
         edge had {} MiB at its peak, allowed {} MiB",
        unsent >> 20,
        took.as_secs_f64(),
        peak >> 20,
        allowed >> 20
    );
    assert!(unsent > 2 * allowed, "too little to show anything");
    // Over polling the pings tell; over WebSocket a ping waits behind what is not taken, and that has a time of its own.
    let on_time = (PINGS.interval + PINGS.timeout).max(WRITE_TIMEOUT) + SLACK;
    assert!(took < on_time, "closed after {took:?}");
    assert!(peak < allowed, "{peak} bytes at the peak");
    judge(&truth, &records);
}

fn plan(number: usize, stream: &StreamName) -> Plan {
    let transports = [Transports::WebSocket, Transports::Polling, Transports::Upgrade][number % 3];
    Plan {
        name: format!("number {number} over {transports:?}"),
        transports,
        keep_alive: number.is_multiple_of(2),
        front: 0,
        local: [127, 0, 1, 1].into(),
        streams: vec![stream.clone()],
        begin: "start",
        habit: Habit::Stalled,
        dialect: Dialect::Weir,
        seed: number as u64,
    }
}

async fn publish(cluster: &Cluster, stream: &StreamName, events: u32, surroundings: &Surroundings) {
    let (_, quota) = watch::channel(Quota { events, last: true });
    let plan = producers::Plan {
        number: BIG,
        stream: stream.clone(),
        quota,
        published: surroundings.published.clone(),
    };
    let publishing = producers::publish_raw(plan, cluster.redis.socket(), RawForm::Ours);
    timeout(PART, publishing).await.expect("the producer hangs");
}

/// Sessions of clients that the edge has.
async fn sessions(edge: SocketAddr) -> i64 {
    let connection = http::connect(edge, None).await.unwrap();
    let mut metrics = http::get(connection, "/metrics", &[]).await.unwrap();
    let mut sessions = 0;
    while let Some(line) = metrics.line().await.unwrap() {
        let line = String::from_utf8(line).unwrap();
        let count = || line.rsplit(' ').next().unwrap().parse::<i64>().unwrap();
        if line.starts_with("weir_engine_sessions_opened_total{") {
            sessions += count();
        } else if line.starts_with("weir_engine_sessions_closed_total{") {
            sessions -= count();
        }
    }
    sessions
}

/// Waits until all sockets have stopped reading, and then until the edge has closed them all. Returns how long that took.
async fn all_closed(edge: SocketAddr, surroundings: &Surroundings, sockets: usize) -> Duration {
    let deadline = Instant::now() + PART;
    while surroundings.asleep.load(Ordering::Relaxed) < sockets {
        assert!(Instant::now() < deadline, "some never got their first events");
        sleep(POLL).await;
    }
    let stalled = Instant::now();
    while sessions(edge).await > 0 {
        assert!(Instant::now() < deadline, "some are never closed");
        sleep(POLL).await;
    }
    stalled.elapsed()
}

fn judge(truth: &StreamTruth, records: &[Record]) {
    let mut all = Findings::default();
    for record in records {
        assert_eq!(record.broken, Vec::<String>::new(), "{}", record.plan.name);
        assert!(
            record.recovered > 0,
            "{} did not recover: {:?}",
            record.plan.name,
            record.endings
        );
        assert_eq!((record.fresh, record.sent_away), (0, 0), "{}", record.plan.name);
        for session in record.items.values().flatten() {
            let found = check(truth, session.begin, &session.items);
            assert_eq!(found.faults(), 0, "{}: {:?}", record.plan.name, found.notes);
            all.add(&found);
        }
    }
    assert_eq!(all.events, truth.histories[0].len() as u64 * records.len() as u64);
}
