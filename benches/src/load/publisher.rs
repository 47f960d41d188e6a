//! The thread that publishes: at times that are fixed in advance, whatever becomes of what was sent before.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use hdrhistogram::Histogram;
use tokio::sync::oneshot;

use super::clock::{instant, now_us};
use super::payload::Stamp;
use super::session::{Incoming, Protocol, Role, Session};
use super::tally::latencies;

/// Events that are due within this are sent together, so that the publisher does not take the servers' processor time.
const TICK_US: u64 = 200;
/// While nothing is to be published, pings are answered so often.
const IDLE_TICK: Duration = Duration::from_millis(20);
/// While the server takes nothing, it is tried again so often.
const BLOCKED_TICK: Duration = Duration::from_millis(1);
/// What the server does not take waits, up to so many bytes; further events are sent late, and count as late.
const UNSENT_BYTES_MAX: usize = 256 * 1024;
const READ_BYTES: usize = 64 * 1024;
const CONNECT: Duration = Duration::from_secs(20);

/// What is to be published.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    /// The first event's number.
    pub(super) first: u64,
    pub(super) events: u64,
    /// When the first is due.
    pub(super) start_us: u64,
    pub(super) events_per_second: f64,
    /// What could not be sent by then is not sent.
    pub(super) give_up_us: u64,
}

impl Schedule {
    /// When an event is due, counted from the first.
    pub(super) fn due_us(&self, index: u64) -> u64 {
        self.start_us + (index as f64 * 1e6 / self.events_per_second) as u64
    }
}

/// What was published.
#[derive(Debug)]
pub(super) struct Sent {
    /// Events that were sent: fewer than were due, if the server takes no more.
    pub(super) events: u64,
    /// How much later than it was due each was handed to the system, in microseconds.
    pub(super) lateness: Histogram<u64>,
}

/// The publisher's handle. The thread ends with it.
pub(super) struct Publisher {
    schedules: Option<SyncSender<(Schedule, oneshot::Sender<anyhow::Result<Sent>>)>>,
    pub(super) answers: Arc<Answers>,
    thread: Option<JoinHandle<()>>,
}

/// What the server said to what was published.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub(super) taken: AtomicU64,
    pub(super) refused: AtomicU64,
}

impl Answers {
    fn count(&self, ok: bool) {
        let kind = if ok { &self.taken } else { &self.refused };
        kind.fetch_add(1, Ordering::Relaxed);
    }
}

impl Publisher {
    /// Connects so many sockets, which publish in turns: to one stream event by event, or each to streams of its own.
    pub(super) fn start(
        servers: Vec<SocketAddr>,
        protocol: Protocol,
        sockets: usize,
        streams: Vec<String>,
    ) -> anyhow::Result<Self> {
        let answers = Arc::new(Answers::default());
        let opened =
            (0..sockets).map(|index| Outlet::open(servers[index % servers.len()], protocol, answers.clone()));
        let work = Work {
            outlets: opened.collect::<anyhow::Result<_>>()?,
            streams,
        };
        let (schedules, received) = sync_channel(1);
        let thread = std::thread::Builder::new().name("publisher".into());
        Ok(Self {
            schedules: Some(schedules),
            answers,
            thread: Some(thread.spawn(move || work.run(&received))?),
        })
    }

    /// Publishes, and returns once it has.
    pub(super) async fn publish(&self, schedule: Schedule) -> anyhow::Result<Sent> {
        let (answer, answered) = oneshot::channel();
        let schedules = self.schedules.as_ref().context("the publisher has ended")?;
        schedules
            .try_send((schedule, answer))
            .map_err(|_| anyhow::anyhow!("the publisher does not listen"))?;
        answered.await.context("the publisher has ended")?
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.schedules = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Work {
    outlets: Vec<Outlet>,
    streams: Vec<String>,
}

impl Work {
    fn run(mut self, schedules: &Receiver<(Schedule, oneshot::Sender<anyhow::Result<Sent>>)>) {
        loop {
            match schedules.recv_timeout(IDLE_TICK) {
                Ok((schedule, answer)) => {
                    let sent = self.publish(&schedule);
                    let failed = sent.is_err();
                    // Nobody may want to know any more.
                    let _ = answer.send(sent);
                    if failed {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    if self.exchange().is_err() {
                        return;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn publish(&mut self, schedule: &Schedule) -> anyhow::Result<Sent> {
        let (mut next, mut lateness) = (0, latencies());
        while next < schedule.events || self.unsent() > 0 {
            let now = now_us();
            if now >= schedule.give_up_us {
                break;
            }
            let before = next;
            while next < schedule.events && schedule.due_us(next) <= now && self.unsent() < UNSENT_BYTES_MAX {
                self.put(Stamp {
                    due_us: schedule.due_us(next),
                    number: schedule.first + next,
                });
                next += 1;
            }
            self.exchange()?;
            let after = now_us();
            for sent in before..next {
                lateness.saturating_record(after.saturating_sub(schedule.due_us(sent)).max(1));
            }
            let until = if self.unsent() > 0 {
                Instant::now() + BLOCKED_TICK
            } else if next < schedule.events {
                instant(schedule.due_us(next).max(now + TICK_US))
            } else {
                break;
            };
            park_until(until);
        }
        Ok(Sent {
            events: next,
            lateness,
        })
    }

    /// Appends an event to what its socket is to send.
    fn put(&mut self, stamp: Stamp) {
        let streams = self.streams.len() as u64;
        let stream = (stamp.number % streams) as usize;
        let turn = if streams == 1 { stamp.number } else { stream as u64 };
        let outlets = self.outlets.len() as u64;
        self.outlets[(turn % outlets) as usize].put(&self.streams[stream], stamp);
    }

    fn exchange(&mut self) -> anyhow::Result<()> {
        self.outlets.iter_mut().try_for_each(Outlet::exchange)
    }

    fn unsent(&self) -> usize {
        self.outlets.iter().map(|outlet| outlet.unsent.len()).sum()
    }
}

/// A socket that publishes.
struct Outlet {
    stream: TcpStream,
    session: Session,
    unsent: Vec<u8>,
    buffer: Vec<u8>,
    /// How much of the buffer waits for the rest of a frame.
    begun: usize,
    ready: bool,
    answers: Arc<Answers>,
}

impl Outlet {
    fn open(server: SocketAddr, protocol: Protocol, answers: Arc<Answers>) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(server).with_context(|| format!("connecting to {server}"))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut unsent = Vec::new();
        // Tails cannot publish; the server that has them has WebSockets for that.
        let protocol = match protocol {
            Protocol::SocketIo | Protocol::SocketIoPolling => Protocol::SocketIo,
            _ => Protocol::WebSocket,
        };
        let session = Session::open(protocol, Role::Stays, &server.to_string(), &mut unsent)?;
        let mut outlet = Self {
            stream,
            session,
            unsent,
            buffer: vec![0; READ_BYTES],
            begun: 0,
            ready: false,
            answers,
        };
        let deadline = Instant::now() + CONNECT;
        while !outlet.ready {
            ensure!(
                Instant::now() < deadline,
                "{server} does not let the publisher in"
            );
            outlet.exchange()?;
            park_until(Instant::now() + BLOCKED_TICK);
        }
        Ok(outlet)
    }

    fn put(&mut self, stream: &str, stamp: Stamp) {
        self.session.publish(stream, stamp, &mut self.unsent);
    }

    /// Sends what waits and takes what has come, as far as that goes without waiting.
    fn exchange(&mut self) -> anyhow::Result<()> {
        self.read()?;
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(0) => bail!("the publisher's connection takes nothing"),
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("the publisher's connection"),
            }
        }
        Ok(())
    }

    fn read(&mut self) -> anyhow::Result<()> {
        loop {
            ensure!(
                self.begun < self.buffer.len(),
                "an answer to the publisher is too long"
            );
            let came = match self.stream.read(&mut self.buffer[self.begun..]) {
                Ok(0) => bail!("the server has closed the publisher's connection"),
                Ok(came) => came,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("the publisher's connection"),
            };
            let end = self.begun + came;
            let (answers, ready) = (&self.answers, &mut self.ready);
            let done =
                self.session
                    .feed(&self.buffer[..end], &mut self.unsent, |incoming| match incoming {
                        Incoming::Ready => *ready = true,
                        Incoming::Acknowledged { ok } => answers.count(ok),
                        Incoming::Event(_) => {}
                    })?;
            self.buffer.copy_within(done..end, 0);
            self.begun = end - done;
        }
    }
}

fn park_until(instant: Instant) {
    let wait = instant.saturating_duration_since(Instant::now());
    if !wait.is_zero() {
        // It may end early; whoever waits looks again.
        std::thread::park_timeout(wait);
    }
}
