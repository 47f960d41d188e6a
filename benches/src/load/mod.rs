//! The load generator. Many connections follow streams, a few publish into them, and every event says in its data when
//! it was to be sent: so what is measured is what users would have seen, and a stall of the server, or of the generator,
//! is in the figures (an open loop).
//!
//! It is the same for every server, and lean, because it runs on the machine that it measures: a thread of its own for
//! each [`reader`], over which the connections are spread, and one for the [`publisher`]. What it costs itself is
//! accounted with the rest.

pub mod clock;
pub mod command;
mod connection;
mod figures;
pub(crate) mod frame;
pub(crate) mod http;
pub mod payload;
mod polling;
mod publisher;
mod reader;
mod session;
mod tally;

use std::net::{IpAddr, SocketAddr};
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::time::{Instant, sleep, sleep_until};

use connection::Plan;
pub use figures::{Figures, Settled};
use publisher::{Publisher, Schedule};
use reader::{Command, Reader};
pub use session::Protocol;
use session::Role;
use tally::{Order, Tally, Window};

use crate::accounts::Accounts;

/// Connections from one address: ports must not run out.
const PER_ADDRESS: usize = 5_000;
/// How long it may take until the next connection is open.
const OPEN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);
/// From the order to publish until the first event is due.
const LEAD: Duration = Duration::from_millis(20);
/// How long after the last event is due deliveries of it still count.
const GRACE: Duration = Duration::from_secs(2);
/// How long nothing may come until what is outstanding is given up.
const SILENCE: Duration = Duration::from_secs(10);
/// Receive buffer of connections that can be slowed down: what they do not read is to wait at the server.
const SLOW_RECEIVE_BYTES: usize = 4 * 1024;
/// Latencies that are taken in a second at the most.
const LATENCIES_PER_SECOND: f64 = 200_000.0;

/// Who is connected to what.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where the servers are. Connections are spread over all of them; the first publisher is at the first.
    pub servers: Vec<SocketAddr>,
    /// How the followers speak with them. What tails cannot do, publishing, goes over `/v1/ws`.
    pub protocol: Protocol,
    /// Connections that follow a stream.
    pub sockets: usize,
    /// The streams. The connections are spread over them, and the events too. Without any, connections follow nothing.
    pub streams: Vec<String>,
    /// Sockets that publish. Without any, nothing can be published.
    pub publishers: usize,
    /// Threads that read.
    pub readers: usize,
    /// So many of the connections, the last ones, have a thread of their own and small buffers, and can be slowed down.
    pub slow: usize,
}

/// What is published for how long.
#[derive(Debug, Clone, Copy)]
pub struct Phase {
    /// In all streams together.
    pub events_per_second: f64,
    /// For so long nothing is counted.
    pub warm_up: Duration,
    /// For so long it is.
    pub measured: Duration,
}

/// Open connections.
pub struct Load {
    target: Target,
    /// Its addresses: those of the loads before it have ports that are not free for a minute after they are closed.
    network: u8,
    /// The last one holds the connections that can be slowed down, if there are any.
    readers: Vec<Reader>,
    publisher: Option<Publisher>,
    /// The next event's number.
    next: u64,
}

impl Load {
    /// Opens all connections, and returns when each has its subscription.
    pub async fn open(target: Target) -> anyhow::Result<Self> {
        ensure!(!target.servers.is_empty(), "there is no server to connect to");
        ensure!(
            target.slow <= target.sockets,
            "more connections are slow than there are"
        );
        let fast = target.sockets - target.slow;
        let readers = target.readers.clamp(1, fast.max(1));
        static LOADS: AtomicU8 = AtomicU8::new(0);
        let mut load = Self {
            network: 2 + LOADS.fetch_add(1, Ordering::Relaxed) % 200,
            readers: (0..readers)
                .map(|_| Reader::start())
                .collect::<anyhow::Result<_>>()?,
            publisher: None,
            next: 0,
            target,
        };
        let plans = |range: std::ops::Range<usize>| range.map(|index| load.plan(index));
        let mut shares: Vec<Vec<Plan>> = vec![Vec::new(); readers];
        plans(0..fast)
            .enumerate()
            .for_each(|(index, plan)| shares[index % readers].push(plan));
        let slow: Vec<Plan> = plans(fast..load.target.sockets).collect();
        if !slow.is_empty() {
            load.readers.push(Reader::start()?);
            shares.push(slow);
        }
        for (reader, share) in load.readers.iter().zip(shares) {
            reader.send(Command::Open(share))?;
        }
        load.all_ready().await?;
        if load.target.publishers > 0 {
            ensure!(
                !load.target.streams.is_empty(),
                "there is no stream to publish into"
            );
            let Target {
                servers,
                protocol,
                publishers,
                streams,
                ..
            } = load.target.clone();
            let publisher = move || Publisher::start(servers, protocol, publishers, streams);
            load.publisher = Some(tokio::task::spawn_blocking(publisher).await??);
        }
        Ok(load)
    }

    fn plan(&self, index: usize) -> Plan {
        let target = &self.target;
        let streams = target.streams.len();
        let (role, order) = match streams {
            0 => (Role::Stays, Order::new(0, 1, 1, 0)),
            _ => {
                let stream = self.stream_of(index);
                let publishers = if streams == 1 { target.publishers.max(1) } else { 1 };
                (
                    Role::Follows(target.streams[stream].clone()),
                    Order::new(stream as u64, streams as u64, publishers as u64, 0),
                )
            }
        };
        Plan {
            server: target.servers[index % target.servers.len()],
            local: IpAddr::from([127, 0, self.network, (1 + index / PER_ADDRESS) as u8]),
            receive_bytes: (index >= target.sockets - target.slow).then_some(SLOW_RECEIVE_BYTES),
            protocol: target.protocol,
            role,
            order,
        }
    }

    /// Each stream has followers at all servers, or one follower at one of them.
    fn stream_of(&self, index: usize) -> usize {
        let (servers, streams) = (self.target.servers.len(), self.target.streams.len());
        (index / servers + index % servers * streams.div_ceil(servers)) % streams
    }

    async fn all_ready(&self) -> anyhow::Result<()> {
        let (mut ready, mut deadline) = (0, Instant::now() + OPEN);
        while ready < self.target.sockets as u64 {
            if let Some(reason) = self.broken() {
                bail!("a connection could not be opened, or did not last: {reason}");
            }
            let now_ready = self.sum(|reader| reader.progress.ready.load(Ordering::Acquire));
            if now_ready > ready {
                (ready, deadline) = (now_ready, Instant::now() + OPEN);
            }
            ensure!(
                Instant::now() < deadline,
                "after {ready} connections no more get through"
            );
            sleep(POLL).await;
        }
        Ok(())
    }

    /// Publishes for a while and says what came of it. `accounts` is asked when the measured time begins and ends.
    pub async fn run(
        &mut self,
        phase: &Phase,
        accounts: impl Fn() -> anyhow::Result<Accounts>,
    ) -> anyhow::Result<Figures> {
        let publisher = self.publisher.as_ref().context("nobody publishes")?;
        let rate = phase.events_per_second;
        let events = |time: Duration| (rate * time.as_secs_f64()).round() as u64;
        let (warm_up, measured) = (events(phase.warm_up), events(phase.measured).max(1));
        let first = self.next + warm_up;
        let due = self.followers(first, first + measured);
        let per_event = due as f64 / measured as f64;
        let window = Window {
            first,
            end: first + measured,
            every: (rate * per_event / LATENCIES_PER_SECOND).ceil().max(1.0) as u64,
        };
        self.readers
            .iter()
            .try_for_each(|reader| reader.send(Command::Begin(window)))?;
        let mut schedule = Schedule {
            first: self.next,
            events: warm_up + measured,
            start_us: clock::now_us() + LEAD.as_micros() as u64,
            events_per_second: rate,
            give_up_us: 0,
        };
        let (begins, ends) = (schedule.due_us(warm_up), schedule.due_us(warm_up + measured));
        schedule.give_up_us = ends + GRACE.as_micros() as u64;
        let watched = async {
            sleep_until(clock::instant(begins).into()).await;
            let (before, arrived_before, began) = (accounts()?, self.deliveries(), Instant::now());
            sleep_until(clock::instant(ends).into()).await;
            let used = accounts()?.since(&before);
            anyhow::Ok((used, self.deliveries() - arrived_before, began.elapsed()))
        };
        let (sent, watched) = tokio::join!(publisher.publish(schedule), watched);
        let (sent, (used, arrived, took)) = (sent?, watched?);
        self.next = schedule.first + sent.events;
        let deadline = clock::instant(schedule.give_up_us);
        let (mut tally, mut slow) = self.tallies().await?;
        while tally.delivered + slow.delivered < due && std::time::Instant::now() < deadline {
            sleep(POLL).await;
            (tally, slow) = self.tallies().await?;
        }
        Ok(Figures {
            events_per_second: rate,
            due,
            delivered: tally.delivered + slow.delivered,
            latency: tally.latency,
            latency_slow: slow.latency,
            lateness: sent.lateness,
            arrived,
            took,
            used,
            missing: tally.missing + slow.missing,
            doubled: tally.doubled + slow.doubled,
            refused: publisher.answers.refused.load(Ordering::Relaxed),
            broken: self.sum(|reader| reader.progress.broken.load(Ordering::Relaxed)),
        })
    }

    /// Waits until all that was published has come to everybody, or nothing comes any more. Returns what came and how many
    /// deliveries are outstanding.
    pub async fn settle(&self) -> anyhow::Result<Settled> {
        let (mut came, mut deadline) = (self.deliveries(), Instant::now() + SILENCE);
        loop {
            let (mut all, mut outstanding) = (Tally::new(), 0);
            for reader in &self.readers {
                let (tally, left) = reader.report(self.next).await?;
                all.add(&tally);
                outstanding += left;
            }
            let now = self.deliveries();
            if now > came {
                (came, deadline) = (now, Instant::now() + SILENCE);
            }
            if outstanding == 0 || Instant::now() >= deadline {
                return Ok(Settled {
                    outstanding,
                    missing: all.missing,
                    doubled: all.doubled,
                });
            }
            sleep(POLL).await;
        }
    }

    /// Lets the connections that can be slowed down read so many bytes in a second each; or all there is.
    pub fn slow_down(&self, bytes_per_second: Option<u64>) -> anyhow::Result<()> {
        ensure!(self.target.slow > 0, "no connection can be slowed down");
        let slow = self.readers.last().context("there is no reader")?;
        slow.send(Command::Pace(bytes_per_second))
    }

    /// Events that came on all connections until now.
    pub fn deliveries(&self) -> u64 {
        self.sum(|reader| reader.progress.deliveries.load(Ordering::Acquire))
    }

    /// Why a connection ended, if one did.
    pub fn broken(&self) -> Option<String> {
        self.readers.iter().find_map(|reader| {
            let reason = reader
                .progress
                .reason
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            reason.clone()
        })
    }

    /// What came within the window: on the connections that are never slow, and on the others.
    async fn tallies(&self) -> anyhow::Result<(Tally, Tally)> {
        let (mut fast, mut slow) = (Tally::new(), Tally::new());
        for (index, reader) in self.readers.iter().enumerate() {
            let (tally, _) = reader.report(self.next).await?;
            let is_slow = self.target.slow > 0 && index + 1 == self.readers.len();
            if is_slow {
                slow.add(&tally)
            } else {
                fast.add(&tally)
            }
        }
        Ok((fast, slow))
    }

    /// Deliveries that events of these numbers make.
    fn followers(&self, first: u64, end: u64) -> u64 {
        let streams = self.target.streams.len();
        let mut followers = vec![0; streams];
        for index in 0..self.target.sockets {
            followers[self.stream_of(index)] += 1;
        }
        (first..end)
            .map(|number| followers[(number % streams as u64) as usize])
            .sum()
    }

    fn sum(&self, of: impl Fn(&Reader) -> u64) -> u64 {
        self.readers.iter().map(of).sum()
    }
}
