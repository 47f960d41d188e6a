//! Subscribers that read a hundred times slower than the producers write cost the edge no memory, hold nobody up,
//! are not cut off, and in the end have everything: each event, or the exact number of those that are gone.
//!
//! The pace is a condition, not a clock: a slow reader takes one event for each hundred that have been published. So
//! it falls behind by almost everything, on any machine.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use shared::StreamName;
use shared::limits::{LOG_PAGE_BYTES_MAX, SOCKET_UNSENT_BYTES_MAX};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::checker::{Findings, Removal, StreamTruth, check};
use crate::cluster::Cluster;
use crate::events::BIG;
use crate::producers::{self, Quota, RawForm};
use crate::scenario::setup;
use crate::subscribers::{Pace, Plan, Record, Subscriber};
use crate::surroundings::{End, Surroundings};
use crate::tails::Transport;
use crate::truth::Operator;

/// Longest wait for each part of the test.
const PART: Duration = Duration::from_secs(180);
/// Asked of the system for the sockets of slow readers, so that the network holds little.
const RECEIVE_BYTES: usize = 8 * 1024;
/// Entries that are left of the stream that is trimmed.
const KEPT: usize = 500;
/// Bytes of an event on the wire, at least.
const EVENT_BYTES: u64 = 4_000;
/// What the edge may have at its peak beside its readers: its code, its threads, the recent rings of two streams (8 MiB
/// each) with an encoding for each transport.
const MEMORY_BYTES_MAX: u64 = 96 * 1024 * 1024;
/// What a reader may cost: two pages of the log and an outbox, whatever it is behind.
const READER_BYTES_MAX: u64 = 2 * LOG_PAGE_BYTES_MAX as u64 + 128 * 1024;
/// What the system may hold for one socket of the edge: its bound for what is unsent, and what is on its way.
const SOCKET_BYTES_MAX: u64 = 2 * SOCKET_UNSENT_BYTES_MAX as u64;

struct Size {
    /// Events of each of the two streams.
    events: u32,
    /// Slow readers for each transport: of the stream that is kept whole, and of the one that is trimmed.
    readers: [usize; 2],
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_readers_cost_no_memory_hold_nobody_up_and_lose_nothing() {
    let _turn = crate::MACHINE.lock().await;
    let size = if crate::is_full() {
        Size {
            events: 50_000,
            readers: [10, 90],
        }
    } else {
        Size {
            events: 5_000,
            readers: [1, 7],
        }
    };
    let started = Instant::now();
    let cluster = Cluster::start(&setup(&[], 0, 1)).await;
    let mut operator = Operator::connect(&cluster.redis.socket(), 1).await.unwrap();
    let streams: [StreamName; 2] = ["slow/kept".parse().unwrap(), "slow/trimmed".parse().unwrap()];
    let published = Arc::new(AtomicU64::new(0));

    let (fast_last, fast) = readers(&cluster, &streams, &published, [1, 1], Pace::Fast);
    let (slow_last, slow) = readers(&cluster, &streams, &published, size.readers, Pace::Slow);
    let idle = cluster.edges[0].peak_memory_bytes();
    publish(&cluster, &streams, size.events, &published).await;
    let mut last = BTreeMap::new();
    for stream in &streams {
        last.insert(stream.clone(), operator.add_last(stream).await.unwrap());
    }
    let produced = started.elapsed();

    // The slow readers have had a hundredth of it by now and wait; the fast ones come to the end all the same.
    fast_last.send_replace(Some(last.clone()));
    let fast = timeout(PART, fast.join_all())
        .await
        .expect("slow readers hold up fast ones");
    let behind = cluster.edges[0].peak_memory_bytes();
    let in_socket = most_in_a_socket(cluster.edges[0].address);

    operator.trim(&streams[1], KEPT).await.unwrap();
    slow_last.send_replace(Some(last));
    let slow = timeout(PART, slow.join_all())
        .await
        .expect("slow readers do not come to the end");
    let peak = cluster.edges[0].peak_memory_bytes();

    let mut truths = BTreeMap::new();
    for stream in &streams {
        let truth = operator.truth(stream, Removal::Front).await.unwrap();
        truths.insert(stream.clone(), truth);
    }
    let measured = Measured {
        idle,
        behind,
        in_socket,
        peak,
        unsent: EVENT_BYTES * u64::from(size.events) * slow.len() as u64,
    };
    println!(
        "\n{:.1} s to publish, {:.1} s in all",
        produced.as_secs_f64(),
        started.elapsed().as_secs_f64()
    );
    conclude(&measured, judge(&truths, &fast), judge(&truths, &slow));
}

/// Bytes.
#[derive(Debug)]
struct Measured {
    idle: u64,
    behind: u64,
    in_socket: u64,
    peak: u64,
    unsent: u64,
}

/// Prints what was found, and panics if something is wrong.
fn conclude(measured: &Measured, fast: Judged, slow: Judged) {
    let Measured {
        idle,
        behind,
        in_socket,
        peak,
        unsent,
    } = *measured;
    let allowed = MEMORY_BYTES_MAX + READER_BYTES_MAX * (fast.readers + slow.readers);
    let rows = [
        ("slow readers", slow.readers),
        ("  their connections", slow.connections),
        ("bytes they were behind, together", unsent),
        ("bytes of the edge, idle", idle),
        ("  with everyone behind, at the peak", behind),
        ("  at the end, at the peak", peak),
        ("  allowed", allowed),
        ("most bytes in the system for a socket", in_socket),
        ("events to fast readers", fast.found.events),
        ("events to slow readers", slow.found.events),
        ("  told to them as lost", slow.found.lost_told),
    ];
    for (name, count) in rows {
        println!("{name:<40}{count:>12}");
    }
    assert!(unsent > 2 * allowed, "too little to show anything");
    assert!(in_socket < SOCKET_BYTES_MAX, "{in_socket} bytes in one socket");
    assert!(peak < allowed, "{peak} bytes at the peak");
    let faults = fast.found.faults() + slow.found.faults();
    assert_eq!(faults, 0, "{:?} {:?}", fast.found, slow.found);
    assert_eq!(slow.connections, slow.readers, "cut off for being slow");
    assert!(
        slow.found.gaps >= slow.readers / 2,
        "nobody was behind when the stream was trimmed"
    );
}

/// The longest send queue of the edge's sockets, in bytes (`tx_queue` of `/proc/net/tcp`, by the port they are at).
fn most_in_a_socket(edge: SocketAddr) -> u64 {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let port = format!(":{:04X}", edge.port());
    let queue = |line: &str| {
        let mut columns = line.split_whitespace().skip(1);
        let own = columns.next()?.ends_with(&port);
        let queues = columns.nth(2).filter(|_| own)?;
        u64::from_str_radix(queues.split(':').next()?, 16).ok()
    };
    table.lines().skip(1).filter_map(queue).max().unwrap_or(0)
}

/// Starts so many readers of each stream for each transport. The sender tells them where the end is.
fn readers(
    cluster: &Cluster,
    streams: &[StreamName],
    published: &Arc<AtomicU64>,
    counts: [usize; 2],
    pace: Pace,
) -> (End, JoinSet<Record>) {
    let (end, surroundings) = Surroundings::new(vec![cluster.edges[0].address]);
    let surroundings = Arc::new(Surroundings {
        published: published.clone(),
        ..surroundings
    });
    let mut tasks = JoinSet::new();
    for (stream, count) in streams.iter().zip(counts) {
        for transport in Transport::ALL {
            for number in 0..count {
                let plan = Plan {
                    name: format!("{stream} over {transport:?}, {pace:?}, number {number}"),
                    transports: vec![transport],
                    streams: vec![stream.clone()],
                    begin: "start",
                    pace,
                    first_edge: None,
                    seed: number as u64,
                    // Nobody is expected to give up: a reader that is cut off comes back, and is counted.
                    patience: PART,
                    receive_bytes: (pace == Pace::Slow).then_some(RECEIVE_BYTES),
                };
                tasks.spawn(Subscriber::new(plan, surroundings.clone()).run());
            }
        }
    }
    (end, tasks)
}

/// Publishes `events` events to each stream by raw `XADD`, at full speed.
async fn publish(cluster: &Cluster, streams: &[StreamName], events: u32, published: &Arc<AtomicU64>) {
    let (_, quota) = watch::channel(Quota { events, last: true });
    let mut tasks = JoinSet::new();
    for (index, stream) in streams.iter().enumerate() {
        let plan = producers::Plan {
            number: BIG + index as u16,
            stream: stream.clone(),
            quota: quota.clone(),
            published: published.clone(),
        };
        tasks.spawn(producers::publish_raw(
            plan,
            cluster.redis.socket(),
            RawForm::Ours,
        ));
    }
    timeout(PART, tasks.join_all()).await.expect("producers hang");
}

/// What came of some readers.
struct Judged {
    found: Findings,
    readers: u64,
    connections: u64,
}

/// Judges all records together.
fn judge(truths: &BTreeMap<StreamName, StreamTruth>, records: &[Record]) -> Judged {
    let mut all = Findings::default();
    for record in records {
        assert_eq!(record.broken, Vec::<String>::new(), "{}", record.plan.name);
        for (stream, items) in &record.items {
            let found = check(&truths[stream], record.begin(), items);
            if found.faults() > 0 {
                println!("{}: {:?}", record.plan.name, found.notes);
            }
            all.add(&found);
        }
        if record.connections > 1 {
            println!("{}: {:?}", record.plan.name, record.endings);
        }
    }
    Judged {
        found: all,
        readers: records.len() as u64,
        connections: records.iter().map(|record| record.connections).sum(),
    }
}
