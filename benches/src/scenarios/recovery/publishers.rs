//! Publishers over HTTP, one for each stream: each publishes at a steady pace, and again with the same idempotency key
//! what was not acknowledged, until it is. So in the end every event is in the log once, and in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::sequences;
use crate::load::payload::{self, Stamp};
use crate::servers::client;

/// The shortest pause before an event is sent again; the longest is twice that.
const PAUSE: Duration = Duration::from_millis(200);
/// An answer takes no longer: the edge gives one after 30 s at the latest.
const ANSWERED: Duration = Duration::from_secs(60);

/// What publishers were told.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    pub(super) acknowledged: u64,
    /// Tries that were refused: the event is not in the log.
    pub(super) refused: u64,
    /// Tries that left it open.
    pub(super) unconfirmed: u64,
    /// Tries that had no answer: nobody listened, or the connection ended.
    pub(super) unanswered: u64,
    /// The slowest answer.
    pub(super) slowest: Duration,
    /// When the first event after the return was acknowledged.
    pub(super) again: Option<Instant>,
}

impl Told {
    /// That of two publishers. The later `again` counts.
    pub(super) fn add(&mut self, other: &Self) {
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.unconfirmed += other.unconfirmed;
        self.unanswered += other.unanswered;
        self.slowest = self.slowest.max(other.slowest);
        self.again = self.again.max(other.again);
    }
}

/// Running publishers.
pub(super) struct Publishers {
    tasks: JoinSet<anyhow::Result<(usize, Told)>>,
    stop: watch::Sender<bool>,
    returned: watch::Sender<Option<Instant>>,
}

impl Publishers {
    /// Starts one for each of the streams, each with so many events a second.
    pub(super) fn start(streams: &[String], edges: &[SocketAddr], rate: f64) -> Self {
        let (stop, _) = watch::channel(false);
        let (returned, _) = watch::channel(None);
        let http = client();
        let edges: Arc<[SocketAddr]> = edges.into();
        let mut tasks = JoinSet::new();
        for (stream, name) in streams.iter().enumerate() {
            let publisher = Publisher {
                http: http.clone(),
                stream,
                name: name.clone(),
                edges: edges.clone(),
                edge: stream,
                stopped: stop.subscribe(),
                returned: returned.subscribe(),
                told: Told::default(),
            };
            // Not all of them at the same time.
            let first = Duration::from_secs_f64(stream as f64 / streams.len() as f64 / rate);
            tasks.spawn(publisher.run(first, Duration::from_secs_f64(1.0 / rate)));
        }
        Self {
            tasks,
            stop,
            returned,
        }
    }

    /// Says when Redis was back.
    pub(super) fn returned(&self, at: Instant) {
        self.returned.send_replace(Some(at));
    }

    /// Lets each end what it is at. Returns how many events each stream has.
    pub(super) async fn stop(mut self) -> anyhow::Result<(Vec<u64>, Told)> {
        self.stop.send_replace(true);
        let (mut totals, mut all) = (vec![0; self.tasks.len()], Told::default());
        while let Some(ended) = self.tasks.join_next().await {
            let (stream, told) = ended??;
            totals[stream] = told.acknowledged;
            all.add(&told);
        }
        Ok((totals, all))
    }
}

struct Publisher {
    http: reqwest::Client,
    stream: usize,
    name: String,
    edges: Arc<[SocketAddr]>,
    edge: usize,
    stopped: watch::Receiver<bool>,
    returned: watch::Receiver<Option<Instant>>,
    told: Told,
}

#[derive(Deserialize)]
struct Answer {
    id: Option<String>,
    error: Option<Problem>,
}

#[derive(Deserialize)]
struct Problem {
    code: String,
}

impl Publisher {
    async fn run(mut self, first: Duration, every: Duration) -> anyhow::Result<(usize, Told)> {
        let mut due = tokio::time::Instant::now() + first;
        for n in 0.. {
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                _ = self.stopped.wait_for(|stopped| *stopped) => break,
            }
            due += every;
            while !self.attempt(n).await? {
                sleep(PAUSE.mul_f64(1.0 + fastrand::f64())).await;
                self.edge += 1;
            }
        }
        Ok((self.stream, self.told))
    }

    /// Sends an event; `true` once it is in the log.
    async fn attempt(&mut self, n: u64) -> anyhow::Result<bool> {
        let edge = self.edges[self.edge % self.edges.len()];
        let mut body = b"{\"data\":".to_vec();
        let number = sequences::number(self.stream, n);
        payload::write(&mut body, Stamp { due_us: 0, number });
        body.push(b'}');
        let request = self
            .http
            .post(format!("http://{edge}/v1/streams/{}", self.name))
            .header("content-type", "application/json")
            .header("idempotency-key", n.to_string())
            .timeout(ANSWERED)
            .body(body);
        let sent = Instant::now();
        let Ok(answer) = async { request.send().await?.json::<Answer>().await }.await else {
            self.told.unanswered += 1;
            return Ok(false);
        };
        self.told.slowest = self.told.slowest.max(sent.elapsed());
        if answer.id.is_some() {
            self.told.acknowledged += 1;
            let returned = *self.returned.borrow();
            if self.told.again.is_none() && returned.is_some_and(|at| at < Instant::now()) {
                self.told.again = Some(Instant::now());
            }
            return Ok(true);
        }
        let code = answer.error.context("an answer without an error")?.code;
        match code.as_str() {
            "unavailable" | "closing" => self.told.refused += 1,
            "unconfirmed" => self.told.unconfirmed += 1,
            code => anyhow::bail!("a publisher is told {code}"),
        }
        Ok(false)
    }
}
