//! A Redis Cluster that changes under load: three masters, three edges, publishers and subscribers over every transport. Slots
//! move, or a master is killed and its replica promoted. What everybody was told is held against what the log holds; no
//! connection of a client ends, and of a slot that moves nobody may notice anything.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use broker::testing::{RedisCluster, free_port};
use shared::StreamName;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::checker::{Begin, Item, Removal, StreamTruth, check};
use crate::publishers::{self, Progress};
use crate::sockets::{self, Socket};
use crate::subscribers::{self, Subscriber};
use crate::surroundings::Surroundings;
use crate::truth::Operator;
use crate::{events, scenario};

const MASTERS: usize = 3;
/// Longest wait for each thing that has to come.
const PART: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(20);

/// `weir serve`, killed when this is dropped.
struct Edge {
    address: SocketAddr,
    child: Child,
}

impl Edge {
    fn start(url: &str, folder: &Path) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let file = folder.join("weir.toml");
        std::fs::write(&file, scenario::CONFIGURATION).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_weir"))
            .args(["serve", "--listen", &address.to_string(), "--redis", url])
            .arg("--config")
            .arg(file)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { address, child }
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        // Fails only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PART;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain for this: {what}");
        sleep(POLL).await;
    }
}

/// Waits until each publisher has some more events acknowledged: before, between and behind what happens.
async fn more(progress: &[Arc<Progress>]) {
    let events = crate::lasts().as_secs();
    let before: Vec<u64> = progress.iter().map(|one| one.acknowledged()).collect();
    until("publishers get events acknowledged", || {
        let mut each = progress.iter().zip(&before);
        each.all(|(one, before)| one.acknowledged() >= before + events)
    })
    .await;
}

/// Moves the slot of a stream to the next master; returns which that is.
async fn move_slot(cluster: &RedisCluster, stream: &StreamName) -> usize {
    let (slot, from) = cluster.first_owner(&events::key(stream)).await;
    let to = (from + 1) % MASTERS;
    cluster.begin_move(slot, from, to).await;
    cluster.move_keys(slot, from, to).await;
    cluster.end_move(slot, from, to).await;
    to
}

/// What happens to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// The slots of all streams move, one after the other.
    SlotsMove,
    /// The master of the first stream is killed.
    MasterKilled,
}

impl Change {
    /// Makes it happen; returns which node each stream is at in the end.
    async fn make(
        self,
        cluster: &RedisCluster,
        streams: &[StreamName],
        progress: &[Arc<Progress>],
    ) -> Vec<usize> {
        let mut owners = Vec::new();
        for stream in streams {
            owners.push(match self {
                Self::SlotsMove => move_slot(cluster, stream).await,
                Self::MasterKilled => cluster.first_owner(&events::key(stream)).await.1,
            });
        }
        if self == Self::MasterKilled {
            let killed = owners[0];
            cluster.nodes()[killed].server.kill();
            cluster.nodes()[MASTERS + killed].promoted().await;
            for owner in owners.iter_mut().filter(|owner| **owner == killed) {
                *owner += MASTERS;
            }
        }
        more(progress).await;
        owners
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_that_move_under_load_are_noticed_by_nobody() {
    under(Change::SlotsMove).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_promoted_replica_has_not_is_told_and_all_else_comes() {
    under(Change::MasterKilled).await;
}

async fn under(change: Change) {
    let _turn = crate::MACHINE.lock().await;
    let cluster = RedisCluster::start(MASTERS, change == Change::MasterKilled).await;
    let folder = tempfile::TempDir::with_prefix("weir-slots-").unwrap();
    let edges: Vec<Edge> = (0..scenario::EDGES)
        .map(|_| Edge::start(&cluster.url(), folder.path()))
        .collect();
    let mut addresses: Vec<SocketAddr> = edges.iter().map(|edge| edge.address).collect();
    let listens = |address: &SocketAddr| std::net::TcpStream::connect(address).is_ok();
    until("edges listen", || addresses.iter().all(listens)).await;
    // Where Socket.IO clients come.
    addresses.push(addresses[0]);
    let streams: Vec<StreamName> = ["moved/a", "moved/b"].map(|name| name.parse().unwrap()).to_vec();
    let (end, surroundings) = Surroundings::new(addresses.clone());
    let surroundings = Arc::new(surroundings);
    let (mut subscribers, mut sockets) = (JoinSet::new(), JoinSet::new());
    for plan in scenario::subscribers(&streams) {
        subscribers.spawn(Subscriber::new(plan, surroundings.clone()).run());
    }
    let settled = Arc::new(AtomicUsize::new(0));
    for plan in scenario::sockets(&streams) {
        sockets.spawn(Socket::new(plan, surroundings.clone(), settled.clone()).run());
    }
    let stop = CancellationToken::new();
    let (publishing, progress) = publishers::start(scenario::publishers(&streams, &addresses), &stop);
    let (all, all_sockets) = (subscribers.len() + sockets.len(), sockets.len());
    until("subscribers receive", || {
        surroundings.receiving.load(Ordering::Relaxed) == all
            && settled.load(Ordering::Relaxed) == all_sockets
    })
    .await;
    more(&progress).await;
    let owners = change.make(&cluster, &streams, &progress).await;
    stop.cancel();
    let published = timeout(PART, publishing.join_all())
        .await
        .expect("publishers hang");

    let (mut last, mut operators) = (BTreeMap::new(), Vec::new());
    for (stream, owner) in streams.iter().zip(owners) {
        let socket = cluster.nodes()[owner].server.socket();
        let mut operator = Operator::connect(&socket, 1).await.unwrap();
        last.insert(stream.clone(), operator.add_last(stream).await.unwrap());
        operators.push(operator);
    }
    end.send_replace(Some(last));
    let received = async { tokio::join!(subscribers.join_all(), sockets.join_all()) };
    let (subscribers, sockets) = surroundings.finish(received).await;
    let mut truths = BTreeMap::new();
    for (stream, operator) in streams.iter().zip(&mut operators) {
        let truth = operator.truth(stream, Removal::Front).await.unwrap();
        let truth = StreamTruth {
            rolled_back: change == Change::MasterKilled,
            ..truth
        };
        truths.insert(stream.clone(), truth);
    }
    for record in &published {
        in_the_log(record, &truths[&record.plan.stream]);
    }
    all_came(&subscribers, &sockets, &truths);
}

/// Every subscriber has everything, and no connection has ended.
fn all_came(
    subscribers: &[subscribers::Record],
    sockets: &[sockets::Record],
    truths: &BTreeMap<StreamName, StreamTruth>,
) {
    for record in subscribers {
        for (stream, items) in &record.items {
            whole(&record.plan.name, &truths[stream], record.begin(), items);
        }
        // The end is the subscriber's own.
        assert_eq!(
            record.endings.values().sum::<u64>(),
            1,
            "{}: {:?}",
            record.plan.name,
            record.endings
        );
        assert!(record.broken.is_empty(), "{:?}", record.broken);
    }
    for record in sockets {
        for (stream, sessions) in &record.items {
            for session in sessions {
                whole(&record.plan.name, &truths[stream], session.begin, &session.items);
            }
        }
        assert_eq!(
            record.endings.values().sum::<u64>(),
            0,
            "{}: {:?}",
            record.plan.name,
            record.endings
        );
    }
}

/// What was acknowledged is in the log once, where the answer said, unless it may have been lost; what was refused is not.
fn in_the_log(record: &publishers::Record, truth: &StreamTruth) {
    let name = format!("{:?} {}", record.plan.way, record.plan.number);
    assert!(
        record.strange.is_empty() && record.hung == 0,
        "{name}: {:?}",
        record.strange
    );
    assert!(!record.acknowledged.is_empty(), "{name}");
    let own = truth.histories.iter().flatten().map(|entry| entry.event);
    let mut there = BTreeMap::new();
    for event in own.filter(|event| event.producer == record.plan.number) {
        let twice = there.insert(event.seq, event.id);
        assert_eq!(twice, None, "{name}: {} is there twice", event.seq);
    }
    // What a killed master has acknowledged and not passed on is lost: replication does not wait.
    for (number, id) in record.acknowledged.iter().filter(|_| !truth.rolled_back) {
        assert_eq!(there.get(number), Some(id), "{name}: {number} was acknowledged");
    }
    for number in &record.refused {
        assert_eq!(there.get(number), None, "{name}: {number} was refused");
    }
}

fn whole(name: &str, truth: &StreamTruth, begin: Begin, items: &[Item]) {
    let judged = check(truth, begin, items);
    assert!(
        judged.events > 0 && (judged.resets == 0 || truth.rolled_back),
        "{name}"
    );
    assert_eq!(judged.faults(), 0, "{name}: {:?}", judged.notes);
}
