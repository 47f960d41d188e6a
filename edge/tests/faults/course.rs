//! The course of a run, whoever subscribes: producers and faults together, step by step, then a calm end.
//!
//! Time is cut into steps. In each step the producers are given a quota that they publish at full speed, and the
//! fault strikes when a part of it has been acknowledged. So faults always hit full speed, on any machine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use shared::{EntryId, StreamName};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::chaos::{CUT_BYTES_MAX, Chaos, Fault, Victims};
use crate::cluster::Cluster;
use crate::producers::{self, Quota, Source};
use crate::surroundings::{End, Surroundings};
use crate::truth::Operator;

/// Longest wait for a step's part to be published.
const STEP: Duration = Duration::from_secs(60);
/// Longest wait for all producers to reach the end.
const FINISH: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(2);

/// A run under way.
pub struct Course {
    /// What goes wrong.
    pub chaos: Chaos,
    /// What subscribers look at.
    pub surroundings: Arc<Surroundings>,
    producers: JoinSet<producers::Record>,
    quota: watch::Sender<Quota>,
    faults_done: watch::Sender<usize>,
    last: End,
}

impl Course {
    /// Begins: producers, numbered from 1 on, wait for their quota, and new connections of clients are cut sooner or
    /// later.
    pub async fn start(cluster: Cluster, sources: &[(StreamName, Source)], seed: u64) -> Self {
        let operator = Operator::connect(&cluster.redis.socket(), seed).await.unwrap();
        let (quota, quotas) = watch::channel(Quota {
            events: 0,
            last: false,
        });
        let (faults_done, faults) = watch::channel(0);
        let (last, surroundings) = Surroundings::new(cluster.addresses());
        let surroundings = Arc::new(Surroundings {
            faults,
            ..surroundings
        });
        let producers = producers::start(sources, &cluster, &quotas, &surroundings.published, seed);
        cluster
            .links
            .iter()
            .for_each(|link| link.cut_after(CUT_BYTES_MAX));
        Self {
            chaos: Chaos {
                cluster,
                operator,
                victims: Victims::new(),
                random: fastrand::Rng::with_seed(seed),
                power_lost_at_ms: None,
                torn_bytes: 0,
                seen_ms: surroundings.seen_ms.clone(),
            },
            surroundings,
            producers,
            quota,
            faults_done,
            last,
        }
    }

    /// Lets each producer publish `quota` events more, and strikes when a part of that is done; `at_rest`: all of it.
    pub async fn step(&mut self, fault: Fault, quota: u32, at_rest: bool) {
        self.chaos.prepare(fault).await;
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
        let number = *self.faults_done.borrow();
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

    /// Everything goes well from now on: lets the producers come to their end.
    pub async fn calm(&mut self) -> Vec<producers::Record> {
        self.chaos.calm().await;
        self.surroundings.calm.cancel();
        self.quota.send_modify(|quota| quota.last = true);
        let producers = std::mem::take(&mut self.producers);
        let producers = timeout(FINISH, producers.join_all()).await;
        producers.unwrap_or_else(|_| panic!("producers hang\n{}", self.chaos.cluster.logs()))
    }

    /// Tells the subscribers what comes last in each stream, and waits until all have it.
    pub async fn end<R: 'static>(
        &mut self,
        last: BTreeMap<StreamName, EntryId>,
        subscribers: JoinSet<R>,
    ) -> Vec<R> {
        self.last.send_replace(Some(last));
        self.surroundings.finish(subscribers.join_all()).await
    }
}
