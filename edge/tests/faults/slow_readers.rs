//! Subscribers that read a hundred times slower than the producers write cost the edge no memory, hold nobody up,
//! are not cut off, and in the end have everything: each event, or the exact number of those that are gone.
//!
//! The pace is a condition, not a clock: a slow reader takes one event for each hundred that have been published. So
//! it falls behind by almost everything, on any machine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use shared::{EntryId, StreamName};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::checker::{Findings, Removal, StreamTruth, check};
use crate::cluster::Cluster;
use crate::events::BIG;
use crate::producers::{self, Quota, RawForm};
use crate::scenario::CONFIGURATION;
use crate::subscribers::{Pace, Plan, Record, Subscriber, Surroundings};
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
/// What the edge may have at its peak. It has the recent rings of two streams (16 MiB at the most), a page or two
/// and an outbox of 64 KiB for each reader, its threads and its code; unsent events would be a multiple of this.
const MEMORY_BYTES_MAX: u64 = 160 * 1024 * 1024;

struct Size {
    /// Events of each of the two streams.
    events: u32,
    /// Slow readers for each transport and stream.
    readers: usize,
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_readers_cost_no_memory_hold_nobody_up_and_lose_nothing() {
    let _turn = crate::MACHINE.lock().await;
    let size = if crate::is_full() {
        Size {
            events: 50_000,
            readers: 50,
        }
    } else {
        Size {
            events: 6_000,
            readers: 5,
        }
    };
    let started = Instant::now();
    let cluster = Cluster::start(&[], CONFIGURATION, 1).await;
    let mut operator = Operator::connect(&cluster.redis.socket(), 1).await.unwrap();
    let streams: [StreamName; 2] = ["slow/kept".parse().unwrap(), "slow/trimmed".parse().unwrap()];
    let published = Arc::new(AtomicU64::new(0));

    let (fast_last, fast) = readers(&cluster, &streams, &published, 1, Pace::Fast);
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

    operator.trim(&streams[1], KEPT).await.unwrap();
    slow_last.send_replace(Some(last));
    let slow = timeout(PART, slow.join_all())
        .await
        .expect("slow readers do not come to the end");
    let peak = cluster.edges[0].peak_memory_bytes();

    let unsent = EVENT_BYTES * u64::from(size.events) * slow.len() as u64;
    let mut truths = BTreeMap::new();
    for stream in &streams {
        truths.insert(
            stream.clone(),
            operator.truth(stream, Removal::Front).await.unwrap(),
        );
    }
    let (fast, _) = judge(&truths, &fast);
    let (slow_found, connections) = judge(&truths, &slow);
    println!(
        "\n{} slow readers ({} connections), {:.1} s to publish, {:.1} s in all\n\
         bytes that were behind, together {:>12}\npeak memory of the edge, idle    {idle:>12}\n\
         with everyone behind             {behind:>12}\nat the end                       {peak:>12}\n\
         events to fast readers           {:>12}\nevents to slow readers           {:>12}\n\
         told as lost to slow readers     {:>12}\n",
        slow.len(),
        connections,
        produced.as_secs_f64(),
        started.elapsed().as_secs_f64(),
        unsent,
        fast.events,
        slow_found.events,
        slow_found.lost_told,
    );
    assert!(unsent > 2 * MEMORY_BYTES_MAX, "too little to show anything");
    assert!(peak < MEMORY_BYTES_MAX, "{peak} bytes at the peak");
    assert_eq!(fast.faults() + slow_found.faults(), 0, "{fast:?} {slow_found:?}");
    assert_eq!(connections, slow.len() as u64, "cut off for being slow");
    assert!(
        slow_found.gaps >= slow.len() as u64 / 2,
        "nobody was behind when the stream was trimmed"
    );
}

/// Starts `count` readers for each transport and stream. The sender tells them where the end is.
fn readers(
    cluster: &Cluster,
    streams: &[StreamName],
    published: &Arc<AtomicU64>,
    count: usize,
    pace: Pace,
) -> (
    watch::Sender<Option<BTreeMap<StreamName, EntryId>>>,
    JoinSet<Record>,
) {
    let (end, last) = watch::channel(None);
    let surroundings = Arc::new(Surroundings {
        edges: vec![cluster.edges[0].address],
        published: published.clone(),
        seen_ms: Arc::default(),
        faults: watch::channel(0).1,
        last,
        give_up: CancellationToken::new(),
    });
    let mut tasks = JoinSet::new();
    for stream in streams {
        for transport in Transport::ALL {
            for number in 0..count {
                let plan = Plan {
                    name: format!("{stream} over {transport:?}, {pace:?}, number {number}"),
                    transports: vec![transport],
                    streams: vec![stream.clone()],
                    begin: "start",
                    pace,
                    seed: number as u64,
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

/// Judges all records together; and counts their connections.
fn judge(truths: &BTreeMap<StreamName, StreamTruth>, records: &[Record]) -> (Findings, u64) {
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
    }
    (all, records.iter().map(|record| record.connections).sum())
}
