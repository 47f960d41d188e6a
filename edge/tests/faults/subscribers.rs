//! Subscribers: each connects to any edge, reads, is cut off, and goes on at any edge with the last cursor it was
//! given, until it has the last event of each of its streams. It records what it received and judges nothing.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use shared::StreamName;
use tokio::time::{sleep, timeout};

use crate::checker::{Begin, Item, Outages};
use crate::frames::{Frame, Kind, Position};
use crate::surroundings::Surroundings;
use crate::tails::{Tail, Transport};

/// Longest pause before a subscriber comes back.
const PAUSE_MS_MAX: u64 = 60;
/// How often a slow reader looks whether it may go on, and how often it does so at the latest: one that takes nothing
/// at all cannot be told from one that is gone.
const SLOW_POLL: Duration = Duration::from_millis(5);
const SLOW_POLLS_MAX: u32 = 50;

/// How fast a subscriber reads as long as the faults last. Afterwards everyone reads as fast as it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As fast as it can.
    Fast,
    /// One event for each hundred that are published.
    Slow,
    /// Stays away between two connections until some more faults have happened.
    Sleepy,
}

/// What a subscriber does.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Shown in reports.
    pub name: String,
    /// How it receives; drawn anew for each connection if there are several.
    pub transports: Vec<Transport>,
    /// One stream, or several in a merged tail.
    pub streams: Vec<StreamName>,
    /// `start` or `now`.
    pub begin: &'static str,
    /// How fast.
    pub pace: Pace,
    /// The edge to which it connects first; `None`: any.
    pub first_edge: Option<usize>,
    /// Decides over edges and pauses.
    pub seed: u64,
    /// The socket's receive buffer, if it is not to be the system's.
    pub receive_bytes: Option<usize>,
    /// How long a connection may take to open, and to bring anything, before it is given up.
    pub patience: Duration,
}

/// What a subscriber received.
#[derive(Debug)]
pub struct Record {
    /// Who.
    pub plan: Plan,
    /// What, stream by stream, in order.
    pub items: BTreeMap<StreamName, Vec<Item>>,
    /// Connections that brought at least one frame.
    pub connections: u64,
    /// Connections that ended while a part of a frame had arrived.
    pub cut_in_mid_frame: u64,
    /// What it was told of outages.
    pub outages: Outages,
    /// How connections ended, and how often.
    pub endings: BTreeMap<String, u64>,
    /// Complete frames that could not be understood, each with the reason.
    pub broken: Vec<String>,
}

impl Record {
    /// Where it began.
    pub fn begin(&self) -> Begin {
        if self.plan.begin == "start" {
            Begin::Start
        } else {
            Begin::Anywhere
        }
    }
}

/// A running subscriber.
pub struct Subscriber {
    record: Record,
    position: Position,
    surroundings: Arc<Surroundings>,
    random: fastrand::Rng,
    events: u64,
}

impl Subscriber {
    /// A subscriber that has received nothing.
    pub fn new(plan: Plan, surroundings: Arc<Surroundings>) -> Self {
        Self {
            position: Position::new(&plan.streams, plan.begin),
            random: fastrand::Rng::with_seed(plan.seed),
            record: Record {
                items: plan
                    .streams
                    .iter()
                    .map(|stream| (stream.clone(), Vec::new()))
                    .collect(),
                plan,
                connections: 0,
                cut_in_mid_frame: 0,
                outages: Outages::default(),
                endings: BTreeMap::new(),
                broken: Vec::new(),
            },
            surroundings,
            events: 0,
        }
    }

    /// Receives until it has everything, or is told to give up.
    pub async fn run(mut self) -> Record {
        let give_up = self.surroundings.give_up.clone();
        let _ = give_up.run_until_cancelled(self.receive_all()).await;
        self.record
    }

    async fn receive_all(&mut self) {
        while !self.has_everything() {
            let ended = self.connection().await;
            let how = ended
                .as_ref()
                .map_or_else(ToString::to_string, |()| "well".to_owned());
            *self.record.endings.entry(how).or_default() += 1;
            self.record.outages.disconnected();
            if let Err(error) = ended
                && error.kind() == io::ErrorKind::InvalidData
            {
                self.record.broken.push(error.to_string());
            }
            self.stay_away().await;
        }
    }

    async fn connection(&mut self) -> io::Result<()> {
        let surroundings = self.surroundings.clone();
        let drawn = self.random.usize(..surroundings.edges.len());
        let is_first = self.record.endings.is_empty();
        let edge = self.record.plan.first_edge.filter(|_| is_first).unwrap_or(drawn);
        let address = surroundings.edges[edge];
        let transport = self.record.plan.transports[self.random.usize(..self.record.plan.transports.len())];
        let plan = &self.record.plan;
        let patience = plan.patience;
        let opening = Tail::open(
            transport,
            address,
            &plan.streams,
            &self.position,
            plan.receive_bytes,
        );
        let mut tail = timeout(plan.patience, opening).await??;
        let mut frames = 0u64;
        while !self.has_everything() {
            self.keep_pace().await;
            let next = match timeout(patience, tail.next()).await {
                Ok(next) => next,
                Err(silent) => Err(silent.into()),
            };
            match next {
                Ok(Some(frame)) => self.take(frame)?,
                Ok(None) => return Ok(()),
                Err(error) => {
                    self.record.cut_in_mid_frame += u64::from(tail.in_mid_frame());
                    return Err(error);
                }
            }
            frames += 1;
            self.record.connections += u64::from(frames == 1);
        }
        Ok(())
    }

    fn take(&mut self, frame: Frame) -> io::Result<()> {
        self.position.moved(&frame);
        let ordinal = || frame.own_cursor().and_then(|cursor| cursor.ordinal).map(|n| n.0);
        let item = match frame.kind {
            Kind::Event(event) => Item::Event {
                event,
                ordinal: ordinal(),
            },
            Kind::Gap(lost) => Item::Gap { lost },
            Kind::Reset => {
                let why = || {
                    io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!("reset without a cursor: {frame:?}"),
                    )
                };
                let resumes_after = frame.own_cursor().ok_or_else(why)?.id;
                Item::Reset { resumes_after }
            }
            Kind::Unverified => Item::Unverified,
            Kind::Outage(outage) => {
                let told = frame
                    .stream
                    .as_ref()
                    .map(|of| self.record.outages.take(of, outage));
                self.record.broken.extend(told.and_then(Result::err));
                return Ok(());
            }
            Kind::Subscribed | Kind::Other => return Ok(()),
        };
        if let Item::Event { event, .. } = &item {
            self.surroundings
                .seen_ms
                .fetch_max(event.id.ms, Ordering::Relaxed);
        }
        if self.events == 0 {
            self.surroundings.receiving.fetch_add(1, Ordering::Relaxed);
        }
        self.events += 1;
        let items = frame
            .stream
            .as_ref()
            .and_then(|stream| self.record.items.get_mut(stream));
        match items {
            Some(items) => items.push(item),
            None => self
                .record
                .broken
                .push(format!("of a stream not asked for: {frame:?}")),
        }
        Ok(())
    }

    fn has_everything(&self) -> bool {
        let last = self.surroundings.last.borrow();
        let Some(last) = last.as_ref() else {
            return false;
        };
        let reached = |(stream, items): (&StreamName, &Vec<Item>)| match items.last() {
            Some(Item::Event { event, .. }) => last.get(stream) == Some(&event.id),
            _ => false,
        };
        // Behind the last event it may still be told that an outage is over.
        self.record.items.iter().all(reached) && !self.record.outages.is_open()
    }

    fn is_over(&self) -> bool {
        self.surroundings.last.borrow().is_some()
    }

    async fn keep_pace(&self) {
        let mut polls = 0;
        while self.record.plan.pace == Pace::Slow
            && !self.is_over()
            && self.events * 100 > self.surroundings.published.load(Ordering::Relaxed)
            && polls < SLOW_POLLS_MAX
        {
            sleep(SLOW_POLL).await;
            polls += 1;
        }
    }

    async fn stay_away(&mut self) {
        if self.record.plan.pace == Pace::Sleepy && !self.is_over() {
            let mut faults = self.surroundings.faults.clone();
            let mut last = self.surroundings.last.clone();
            let until = *faults.borrow() + self.random.usize(1..4);
            tokio::select! {
                _ = faults.wait_for(|done| *done >= until) => {}
                _ = last.wait_for(Option::is_some) => {}
            }
        }
        sleep(Duration::from_millis(self.random.u64(0..PAUSE_MS_MAX))).await;
    }
}
