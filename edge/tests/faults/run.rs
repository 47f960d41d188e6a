//! A run: streams, producers, subscribers and faults together.
//!
//! Time is cut into steps. In each step the producers are given a quota that they publish at full speed, and the
//! fault strikes when a part of it has been acknowledged. So faults always hit full speed, on any machine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use shared::StreamName;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::chaos::{CUT_BYTES_MAX, Chaos, Fault, Victims};
use crate::checker::StreamTruth;
use crate::cluster::Cluster;
use crate::producers::{self, Quota};
use crate::report::Report;
use crate::scenario::{CONFIGURATION, Scenario, Source, StreamPlan};
use crate::subscribers::{Record, Subscriber, Surroundings};
use crate::truth::Operator;

/// Longest wait for a step's part to be published.
const STEP: Duration = Duration::from_secs(60);
/// Longest wait for all producers, and then for all subscribers, to reach the end.
const FINISH: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(2);

/// Runs a scenario to its end.
pub async fn run(scenario: &Scenario) -> Report {
    let started = Instant::now();
    let streams = scenario.streams();
    let mut run = Run::start(scenario, &streams).await;
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
        run.step(*fault, number, scenario.quota, at_rest).await;
    }
    let (producers, subscribers) = run.finish(&streams, subscribers).await;
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
        redis_cuts: run.chaos.cluster.redis_link.cuts(),
        power_lost_at_ms: run.chaos.power_lost_at_ms,
        torn_bytes: run.chaos.torn_bytes,
        producers,
        subscribers,
        truths,
        edge_logs: run.chaos.cluster.logs(),
    }
}

/// A run under way.
struct Run {
    chaos: Chaos,
    surroundings: Arc<Surroundings>,
    producers: JoinSet<producers::Record>,
    quota: watch::Sender<Quota>,
    faults_done: watch::Sender<usize>,
    last: watch::Sender<Option<BTreeMap<StreamName, shared::EntryId>>>,
}

impl Run {
    async fn start(scenario: &Scenario, streams: &[StreamPlan]) -> Self {
        // A killed Redis has lost nothing that it acknowledged only if it wrote before it answered. With `everysec`
        // it may answer first, while a sync is under way.
        let sync = if scenario.loses_power {
            "everysec"
        } else {
            "always"
        };
        let arguments = ["--appendonly", "yes", "--appendfsync", sync];
        let cluster = Cluster::start(&arguments, CONFIGURATION, scenario.seed).await;
        let operator = Operator::connect(&cluster.redis.socket(), scenario.seed)
            .await
            .unwrap();
        let published = Arc::new(AtomicU64::new(0));
        let seen_ms = Arc::new(AtomicU64::new(0));
        let (quota, quotas) = watch::channel(Quota {
            events: 0,
            last: false,
        });
        let (faults_done, faults) = watch::channel(0);
        let (last_sender, last) = watch::channel(None);
        let surroundings = Arc::new(Surroundings {
            edges: cluster.addresses(),
            published: published.clone(),
            seen_ms: seen_ms.clone(),
            faults,
            last,
            give_up: CancellationToken::new(),
        });
        let tasks = start_producers(scenario, streams, &cluster, &quotas, &published);
        cluster
            .links
            .iter()
            .for_each(|link| link.cut_after(CUT_BYTES_MAX));
        let name = |name: &str| name.parse().unwrap();
        let victims = Victims {
            plain: name("plain"),
            trimmed: name("trimmed"),
            holes: name("holes"),
            recreated: name("recreated"),
            set_back: name("set-back"),
        };
        let random = fastrand::Rng::with_seed(scenario.seed);
        Self {
            chaos: Chaos {
                cluster,
                operator,
                victims,
                random,
                power_lost_at_ms: None,
                torn_bytes: 0,
                seen_ms,
            },
            surroundings,
            producers: tasks,
            quota,
            faults_done,
            last: last_sender,
        }
    }

    async fn step(&mut self, fault: Fault, number: usize, quota: u32, at_rest: bool) {
        let before = self.settled();
        self.quota.send_modify(|released| released.events += quota);
        let released = u64::from(self.quota.borrow().events) * self.producers.len() as u64;
        let part = if at_rest {
            1.0
        } else {
            self.chaos.random.f64() * 0.8 + 0.1
        };
        let enough = before + ((released - before) as f64 * part) as u64;
        let deadline = Instant::now() + STEP;
        while self.settled() < enough {
            assert!(
                Instant::now() < deadline,
                "step {number}: {} of {enough} published\n{}",
                self.settled(),
                self.chaos.cluster.logs()
            );
            sleep(POLL).await;
        }
        if number == 0 {
            self.chaos.note_state().await.unwrap();
        }
        self.chaos.strike(fault).await.unwrap();
        self.faults_done.send_modify(|done| *done += 1);
    }

    fn settled(&self) -> u64 {
        self.surroundings.published.load(Ordering::Relaxed)
    }

    /// Everything goes well from now on: lets all come to their end.
    async fn finish(
        &mut self,
        streams: &[StreamPlan],
        subscribers: JoinSet<Record>,
    ) -> (Vec<producers::Record>, Vec<Record>) {
        self.chaos.calm().await;
        self.quota.send_modify(|quota| quota.last = true);
        let producers = std::mem::take(&mut self.producers);
        let producers = timeout(FINISH, producers.join_all()).await;
        let producers = producers.unwrap_or_else(|_| panic!("producers hang\n{}", self.chaos.cluster.logs()));
        let mut last = BTreeMap::new();
        for stream in streams {
            last.insert(
                stream.name.clone(),
                self.chaos.operator.add_last(&stream.name).await.unwrap(),
            );
        }
        self.last.send_replace(Some(last));
        let give_up = self.surroundings.give_up.clone();
        let watchdog = async {
            sleep(FINISH).await;
            give_up.cancel();
            std::future::pending().await
        };
        let subscribers = tokio::select! {
            records = subscribers.join_all() => records,
            () = watchdog => Vec::new(),
        };
        (producers, subscribers)
    }
}

fn start_producers(
    scenario: &Scenario,
    streams: &[StreamPlan],
    cluster: &Cluster,
    quotas: &watch::Receiver<Quota>,
    published: &Arc<AtomicU64>,
) -> JoinSet<producers::Record> {
    let mut tasks = JoinSet::new();
    let sources = streams
        .iter()
        .flat_map(|s| s.sources.iter().map(|source| (s.name.clone(), *source)));
    for (index, (stream, source)) in sources.enumerate() {
        let number = index as u16 + 1;
        let plan = producers::Plan {
            number,
            stream,
            quota: quotas.clone(),
            published: published.clone(),
        };
        match source {
            Source::Http => {
                let seed = scenario.seed ^ u64::from(number);
                tasks.spawn(producers::publish_http(plan, cluster.addresses(), seed))
            }
            Source::Raw(form) => tasks.spawn(producers::publish_raw(plan, cluster.redis.socket(), form)),
        };
    }
    tasks
}
