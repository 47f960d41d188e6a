//! A run: streams, producers, sockets and faults together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use shared::{EntryId, StreamName};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::checker::StreamTruth;
use crate::cluster::Cluster;
use crate::course::Course;
use crate::node_log;
use crate::report::Report;
use crate::scenario::{Scenario, Server, StreamPlan};
use crate::sockets::{Plan, Socket};
use crate::truth::connect_redis;

/// Longest wait until all sockets are connected and follow all they want.
const SETTLE: Duration = Duration::from_secs(60);
/// For so long nothing may change then: longer than pings take.
const SETTLED: Duration = Duration::from_secs(4);
const SETTLE_POLL: Duration = Duration::from_millis(20);

/// Runs a scenario to its end.
pub async fn run(scenario: &Scenario, server: Server) -> Report {
    let started = Instant::now();
    let streams = scenario.streams(server);
    let cluster = Cluster::start(&scenario.setup(server)).await;
    let sources: Vec<_> = streams.iter().flat_map(StreamPlan::sources).collect();
    let mut run = Course::start(cluster, &sources, scenario.seed).await;
    let (mut sockets, settled) = (JoinSet::new(), Arc::new(AtomicUsize::new(0)));
    let surroundings = run.surroundings.clone();
    let mut join = |plans: Vec<Plan>| {
        for plan in plans {
            sockets.spawn(Socket::new(plan, surroundings.clone(), settled.clone()).run());
        }
    };
    join(scenario.first_sockets(server, &streams));
    for (number, fault) in scenario.faults.iter().enumerate() {
        if number == scenario.faults.len() / 2 {
            join(scenario.late_sockets(server, &streams));
        }
        run.step(*fault, scenario.quota, false).await;
    }
    let producers = run.calm().await;
    if server == Server::Node {
        all_settle(&settled, sockets.len()).await;
    }
    let last = add_last(&mut run, server, &streams).await;
    let sockets = run.end(last, sockets).await;
    let cluster = &run.chaos.cluster;
    Report {
        server,
        seed: scenario.seed,
        faults: scenario.faults.clone(),
        took: started.elapsed(),
        cuts: cluster.links.iter().map(|link| link.cuts()).sum(),
        redis_cuts: cluster.redis_links.iter().map(|link| link.cuts()).sum(),
        edge_logs: cluster.logs(),
        truths: truths(&mut run, server, &streams).await,
        producers,
        sockets,
    }
}

/// Who is away when the last event comes, and has no cursor, does not get it. That is not what is to be shown.
async fn all_settle(settled: &AtomicUsize, sockets: usize) {
    let deadline = Instant::now() + SETTLE;
    let mut since = None;
    // Some may not have noticed yet that their connection is gone.
    while since.is_none_or(|since: Instant| since.elapsed() < SETTLED) {
        assert!(Instant::now() < deadline, "some sockets do not come back");
        since = match settled.load(Ordering::Relaxed) == sockets {
            true => since.or(Some(Instant::now())),
            false => None,
        };
        sleep(SETTLE_POLL).await;
    }
}

/// Adds a last event to each stream.
async fn add_last(run: &mut Course, server: Server, streams: &[StreamPlan]) -> BTreeMap<StreamName, EntryId> {
    let mut last = BTreeMap::new();
    let mut connection = connect_redis(&run.chaos.cluster.redis.socket()).await.unwrap();
    for stream in streams {
        let id = match server {
            Server::Weir => run.chaos.operator.add_last(&stream.name).await,
            Server::Node => node_log::add_last(&mut connection, &stream.name).await,
        };
        last.insert(stream.name.clone(), id.unwrap());
    }
    last
}

/// What the streams held.
async fn truths(
    run: &mut Course,
    server: Server,
    streams: &[StreamPlan],
) -> BTreeMap<StreamName, StreamTruth> {
    if server == Server::Node {
        let mut connection = connect_redis(&run.chaos.cluster.redis.socket()).await.unwrap();
        return node_log::truths(&mut connection).await.unwrap();
    }
    let mut truths = BTreeMap::new();
    for stream in streams {
        let truth = run.chaos.operator.truth(&stream.name, stream.removal).await;
        truths.insert(stream.name.clone(), truth.unwrap());
    }
    truths
}
