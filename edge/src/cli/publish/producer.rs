//! Publishes all lines: one request after the other, until everything that was read is acknowledged.

use std::time::Duration;

use broker::Durability;
use reqwest::Url;
use shared::limits::{CLIENT_STABLE_AFTER, IDEMPOTENCY_WINDOW};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::exchange::{Closed, Exchange};
use super::input::Input;
use super::progress::{Counts, Progress};
use super::window::Window;
use crate::cli::client::Edge;
use crate::cli::outage::Outage;
use crate::cli::problem::Problem;
use crate::cli::terminal::Notice;

/// The status of a request that is larger than something on the way allows.
const TOO_LARGE: u16 = 413;

/// How publishing ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ProducerEnd {
    /// Every line that was read is settled.
    Complete,
    /// A line was refused, and that was to be the end.
    Refused,
    /// It cannot go on, and why.
    Failed(String),
}

/// The state of publishing over all requests.
pub(super) struct Producer {
    pub(super) edge: Edge,
    pub(super) url: Url,
    pub(super) durability: Option<Durability>,
    pub(super) input: mpsc::Receiver<Vec<Input>>,
    /// Nothing more will be read.
    pub(super) input_ended: bool,
    /// Why reading failed, if it did.
    pub(super) input_failure: Option<String>,
    /// Cancelled: read nothing more, and end once everything is settled.
    pub(super) stop: CancellationToken,
    pub(super) window: Window,
    pub(super) counts: Counts,
    pub(super) progress: Progress,
    pub(super) outage: Outage,
    pub(super) answer_timeout: Duration,
    pub(super) stop_on_error: bool,
    /// Something on the way passes on only whole requests, or only small ones.
    pub(super) short_requests: bool,
    pub(super) is_connected: bool,
    /// Since when lines that were sent are without an answer, over a cut.
    pub(super) in_doubt_since: Option<Instant>,
}

impl Producer {
    /// Publishes until the input ends and everything is settled. After it was dropped the window says what is not.
    pub(super) async fn run(&mut self) -> ProducerEnd {
        loop {
            if self.window.unacknowledged() == 0 && !self.read_more().await {
                return ProducerEnd::Complete;
            }
            let (began, published) = (Instant::now(), self.counts.published);
            let mut exchange = Exchange::begin(self.edge.publish(self.url.clone(), self.durability));
            let outcome = exchange.run(self).await;
            let sent = self.window.request_ended();
            let was_connected = std::mem::take(&mut self.is_connected);
            let lasted = was_connected && began.elapsed() >= CLIENT_STABLE_AFTER;
            if lasted || self.counts.published > published {
                self.outage.progressed();
            }
            let problem = match outcome {
                Ok(Closed::Settled) => continue,
                Ok(Closed::Refused) => return ProducerEnd::Refused,
                Err(problem) => self.shorten(problem, exchange.was_silent()),
            };
            drop(exchange);
            if sent > 0 {
                self.in_doubt_since.get_or_insert_with(Instant::now);
            }
            self.show();
            match self.outage.failed(problem, fastrand::f64()) {
                Ok(pause) => sleep(pause).await,
                Err(why) => return ProducerEnd::Failed(why),
            }
        }
    }

    /// Waits for lines while there is nothing to send; `false` when none will come.
    async fn read_more(&mut self) -> bool {
        while self.window.unacknowledged() == 0 {
            if self.input_ended {
                return false;
            }
            tokio::select! {
                batch = self.input.recv() => self.take_input(batch),
                () = self.stop.cancelled() => self.end_input(),
            }
        }
        true
    }

    /// Some proxies read a request to its end before they pass it on, or allow no large one: where nothing at all was
    /// answered, requests are kept short from here on.
    fn shorten(&mut self, problem: Problem, silent: bool) -> Problem {
        match problem {
            Problem::Lasting {
                why,
                status: Some(TOO_LARGE),
            } if !self.short_requests => {
                self.short_requests = true;
                Problem::passing(format!("{why}; sending in small requests from here on"))
            }
            problem => {
                self.short_requests |= silent;
                problem
            }
        }
    }

    /// Whether there is room for more lines, and may be more.
    pub(super) fn may_read(&self) -> bool {
        !self.input_ended && self.window.has_room()
    }

    /// Takes in what was read; nothing means the end.
    pub(super) fn take_input(&mut self, batch: Option<Vec<Input>>) {
        let Some(batch) = batch else {
            return self.end_input();
        };
        for input in batch {
            match input {
                Input::Line { line, repaired } => {
                    self.counts.repaired += u64::from(repaired);
                    self.window.push(line);
                }
                Input::Unfit { number, why } => {
                    self.counts.refused += 1;
                    self.say(&Notice::plain(format!("line {number} was not sent: {why}")));
                    if self.stop_on_error {
                        return self.end_input();
                    }
                }
                Input::Failed(why) => {
                    self.input_failure = Some(why);
                    return self.end_input();
                }
            }
        }
    }

    /// Reads nothing more.
    pub(super) fn end_input(&mut self) {
        self.input_ended = true;
        self.input.close();
    }

    /// The edge answers.
    pub(super) fn connected(&mut self) {
        if std::mem::replace(&mut self.is_connected, true) {
            return;
        }
        self.outage.connected();
        let doubt = self.in_doubt_since.take().map(|since| since.elapsed());
        if doubt.is_some_and(|outage| outage >= IDEMPOTENCY_WINDOW)
            && let Some((first, last)) = self.window.span()
        {
            self.say(&Notice::loud(format!(
                "IN DOUBT: lines {first} to {last} were sent before an outage that was longer than an edge remembers \
                 keys by default; some of them may be published twice"
            )));
        }
    }

    /// Prints a notice.
    pub(super) fn say(&self, notice: &Notice) {
        self.progress.say(notice);
    }

    /// Shows where it stands.
    pub(super) fn show(&self) {
        self.progress
            .show(&self.counts, self.window.unacknowledged(), self.is_connected);
    }
}
