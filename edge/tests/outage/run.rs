//! A case from its beginning to its end: streams of its own, publishers and subscribers at every edge, and what they were
//! told while something was wrong.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use shared::StreamName;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::case::Case;
use crate::checker::{Removal, StreamTruth};
use crate::cluster::Cluster;
use crate::publishers::{self, Progress};
use crate::scenario;
use crate::sockets::{self, Socket};
use crate::subscribers::{self, Subscriber};
use crate::surroundings::Surroundings;
use crate::truth::Operator;

/// Longest wait for each thing that has to come.
const PART: Duration = Duration::from_secs(90);
/// How often it is looked for.
const POLL: Duration = Duration::from_millis(20);
/// Events that each publisher must get acknowledged before the fault, and again behind it.
const EVENTS: u64 = 3;

/// What a case left behind.
#[derive(Debug)]
pub struct Outcome {
    /// Which.
    pub case: Case,
    /// How many edges there are.
    pub edges: usize,
    /// When it began to be wrong.
    pub began: Instant,
    /// When it was mended.
    pub ended: Instant,
    /// From the beginning of the fault until every edge that it cuts off said that it is not ready; zero if it cuts off none.
    pub noticed_after: Duration,
    /// From then until every edge said that it is ready again.
    pub ready_after: Duration,
    /// And until every publisher had got events acknowledged again.
    pub acknowledged_after: Duration,
    /// What each publisher was told.
    pub publishers: Vec<publishers::Record>,
    /// What each subscriber received over SSE, NDJSON or WebSocket.
    pub subscribers: Vec<subscribers::Record>,
    /// What each Socket.IO client received.
    pub sockets: Vec<sockets::Record>,
    /// What each stream held.
    pub truths: BTreeMap<StreamName, StreamTruth>,
    /// The last lines of the edges' logs.
    pub edge_logs: String,
}

/// Runs a case; what is wrong lasts for `lasts` at the least.
pub async fn run(cluster: &mut Cluster, operator: &mut Operator, case: Case, lasts: Duration) -> Outcome {
    let streams = scenario::streams(case);
    let (end, surroundings) = Surroundings::new(cluster.addresses());
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
    let plans = scenario::publishers(&streams, &cluster.addresses());
    let at_edge: Vec<usize> = (0..plans.len()).map(scenario::edge_of_publisher).collect();
    let (publishing, progress) = publishers::start(plans, &stop);
    let (all, all_sockets) = (subscribers.len() + sockets.len(), sockets.len());
    // A socket that still asks for a stream when Redis goes away has to come back, as nobody knows what it follows.
    let all_receive = || {
        surroundings.receiving.load(Ordering::Relaxed) == all
            && settled.load(Ordering::Relaxed) == all_sockets
    };
    until(cluster, "subscribers receive", || async { all_receive() }).await;
    acknowledged(cluster, &progress, &vec![0; progress.len()]).await;

    let began = Instant::now();
    case.begin(cluster, operator, &streams).await.unwrap();
    let noticed_after = outage(cluster, case, began, lasts, &at_edge, &progress).await;
    case.end(cluster, operator).await.unwrap();

    let ended = Instant::now();
    let before: Vec<u64> = progress.iter().map(|progress| progress.acknowledged()).collect();
    cluster.ready().await;
    let ready_after = ended.elapsed();
    acknowledged(cluster, &progress, &before).await;
    let acknowledged_after = ended.elapsed();

    stop.cancel();
    let publishers = timeout(PART, publishing.join_all()).await;
    let publishers = publishers.unwrap_or_else(|_| panic!("publishers hang\n{}", cluster.logs()));
    let mut last = BTreeMap::new();
    for stream in &streams {
        last.insert(stream.clone(), operator.add_last(stream).await.unwrap());
    }
    end.send_replace(Some(last));
    let received = async { tokio::join!(subscribers.join_all(), sockets.join_all()) };
    let (subscribers, sockets) = surroundings.finish(received).await;
    let mut truths = BTreeMap::new();
    for stream in &streams {
        let truth = operator.truth(stream, Removal::Front).await.unwrap();
        truths.insert(stream.clone(), truth);
    }
    Outcome {
        case,
        edges: cluster.edges.len(),
        began,
        ended,
        noticed_after,
        ready_after,
        acknowledged_after,
        publishers,
        subscribers,
        sockets,
        truths,
        edge_logs: cluster.logs(),
    }
}

/// Lets it be wrong until everything has been seen that belongs to it: edges that are cut off say that they are not ready,
/// and refuse events; the others say that they are ready. Returns how long the first took.
async fn outage(
    cluster: &Cluster,
    case: Case,
    began: Instant,
    lasts: Duration,
    at_edge: &[usize],
    progress: &[Arc<Progress>],
) -> Duration {
    let lives = |number: &usize| !case.is_down(*number);
    let say = (0..cluster.edges.len()).filter(lives).map(|number| async move {
        let (edge, ready) = (&cluster.edges[number], !case.is_cut_off(number));
        let says = || async { edge.is_ready().await.is_ok() == ready };
        until(
            cluster,
            "edges that are cut off, and only they, say that they are not ready",
            says,
        )
        .await;
        if ready { Duration::ZERO } else { began.elapsed() }
    });
    let noticed_after = join_all(say).await.into_iter().max();
    if case.is_told() {
        let refuses = |number: usize| {
            let mut here = at_edge.iter().zip(progress).filter(|(edge, _)| **edge == number);
            !case.is_cut_off(number) || here.any(|(_, progress)| progress.refused() > 0)
        };
        let all_refuse = || async { (0..cluster.edges.len()).all(refuses) };
        until(cluster, "edges that are cut off refuse events", all_refuse).await;
    }
    sleep(lasts.saturating_sub(began.elapsed())).await;
    noticed_after.unwrap_or_default()
}

/// Waits until each publisher has so many events acknowledged, and some more.
async fn acknowledged(cluster: &Cluster, progress: &[Arc<Progress>], before: &[u64]) {
    let enough = || {
        let mut each = progress.iter().zip(before);
        each.all(|(progress, before)| progress.acknowledged() >= before + EVENTS)
    };
    until(cluster, "publishers get events acknowledged", || async {
        enough()
    })
    .await;
}

/// Waits until it holds.
async fn until<F: Future<Output = bool>>(cluster: &Cluster, what: &str, mut holds: impl FnMut() -> F) {
    let deadline = Instant::now() + PART;
    while !holds().await {
        assert!(
            Instant::now() < deadline,
            "waited in vain for this: {what}\n{}",
            cluster.logs()
        );
        sleep(POLL).await;
    }
}
