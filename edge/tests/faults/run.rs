//! A run: streams, producers, subscribers and faults together.

use std::collections::BTreeMap;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::chaos::Fault;
use crate::checker::StreamTruth;
use crate::cluster::Cluster;
use crate::course::Course;
use crate::report::Report;
use crate::scenario::{Scenario, setup};
use crate::subscribers::Subscriber;

/// Runs a scenario to its end.
pub async fn run(scenario: &Scenario) -> Report {
    let started = Instant::now();
    let streams = scenario.streams();
    // A killed Redis has lost nothing that it acknowledged only if it wrote before it answered. With `everysec` it may
    // answer first, while a sync is under way.
    let arguments: &[&str] = if scenario.sentinels > 0 {
        // What the killed one has written is not needed: it gets all from the other.
        &[]
    } else if scenario.loses_power {
        &["--appendonly", "yes", "--appendfsync", "everysec"]
    } else {
        &["--appendonly", "yes", "--appendfsync", "always"]
    };
    let cluster = Cluster::start(&setup(arguments, scenario.sentinels, scenario.seed)).await;
    let sources: Vec<_> = streams.iter().flat_map(|stream| stream.sources()).collect();
    let mut run = Course::start(cluster, &sources, scenario.seed).await;
    let mut subscribers = JoinSet::new();
    for plan in scenario.first_subscribers(&streams) {
        subscribers.spawn(Subscriber::new(plan, run.surroundings.clone()).run());
    }
    for (number, fault) in scenario.faults.iter().enumerate() {
        if number == scenario.faults.len() / 2 {
            for plan in scenario.late_subscribers(&streams) {
                subscribers.spawn(Subscriber::new(plan, run.surroundings.clone()).run());
            }
        }
        // The last failure of the power comes when nothing is under way, so that what it takes has been seen.
        let at_rest = *fault == Fault::LosePower && !scenario.faults[number + 1..].contains(fault);
        run.step(*fault, scenario.quota, at_rest).await;
    }
    let producers = run.calm().await;
    let mut last = BTreeMap::new();
    for stream in &streams {
        let id = run.chaos.operator.add_last(&stream.name).await.unwrap();
        last.insert(stream.name.clone(), id);
    }
    let subscribers = run.end(last, subscribers).await;
    let mut truths = BTreeMap::new();
    for stream in &streams {
        let truth = run
            .chaos
            .operator
            .truth(&stream.name, stream.removal)
            .await
            .unwrap();
        let truth = StreamTruth {
            rolled_back: scenario.loses_power,
            ..truth
        };
        truths.insert(stream.name.clone(), truth);
    }
    Report {
        seed: scenario.seed,
        faults: scenario.faults.clone(),
        took: started.elapsed(),
        cuts: run.chaos.cluster.links.iter().map(|link| link.cuts()).sum(),
        redis_cuts: run.chaos.cluster.redis_links.iter().map(|link| link.cuts()).sum(),
        power_lost_at_ms: run.chaos.power_lost_at_ms,
        torn_bytes: run.chaos.torn_bytes,
        producers,
        subscribers,
        truths,
        edge_logs: run.chaos.cluster.logs(),
    }
}
