//! A thread that holds many connections and reads whatever comes on them: one system call to learn where something is,
//! one for each connection to take it, and no allocation for an event.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use mio::{Events, Poll, Token, Waker};
use tokio::sync::oneshot;

use super::clock::now_us;
use super::connection::{Connection, Plan, READ_BYTES};
use super::tally::{Tally, Window};

/// Connections that are being opened at the same time.
const OPENING_MAX: usize = 100;
/// Commands that wait.
const COMMANDS_MAX: usize = 16;
/// Readiness that is asked for at once.
const EVENTS_MAX: usize = 4096;
/// How often a slow reader reads a little.
const SLOW_TICK: Duration = Duration::from_millis(50);
const WAKER: Token = Token(usize::MAX);

/// What a reader is told to do.
pub(super) enum Command {
    /// Open these too.
    Open(Vec<Plan>),
    /// Count anew, in this window.
    Begin(Window),
    /// Read no more than so many bytes a second on each connection, or as much as comes.
    Pace(Option<u64>),
    /// Say what came, and how many deliveries of events below this number are outstanding.
    Report(u64, oneshot::Sender<(Tally, u64)>),
}

/// What a reader shows all the time.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Events that came.
    pub(super) deliveries: AtomicU64,
    /// Connections that do what they are for.
    pub(super) ready: AtomicU64,
    /// Connections that ended, or could not be opened.
    pub(super) broken: AtomicU64,
    /// Why the first of them did.
    pub(super) reason: Mutex<Option<String>>,
}

impl Progress {
    /// Notes that a connection ended.
    pub(super) fn lose(&self, error: &anyhow::Error) {
        let mut reason = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        reason.get_or_insert_with(|| format!("{error:#}"));
        self.broken.fetch_add(1, Ordering::Relaxed);
    }
}

/// A reader's handle. The thread ends with it.
pub(super) struct Reader {
    commands: Option<SyncSender<Command>>,
    waker: Arc<Waker>,
    pub(super) progress: Arc<Progress>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    pub(super) fn start() -> anyhow::Result<Self> {
        let poll = Poll::new().context("epoll")?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let progress = Arc::new(Progress::default());
        let (commands, received) = sync_channel(COMMANDS_MAX);
        let work = Work {
            poll,
            commands: received,
            progress: progress.clone(),
            connections: Vec::new(),
            unopened: VecDeque::new(),
            opening: 0,
            buffer: vec![0; READ_BYTES],
            tally: Tally::new(),
            pace: None,
            paced_at: Instant::now(),
            deliveries: 0,
        };
        let thread = std::thread::Builder::new().name("reader".into());
        Ok(Self {
            commands: Some(commands),
            waker,
            progress,
            thread: Some(thread.spawn(move || work.run())?),
        })
    }

    pub(super) fn send(&self, command: Command) -> anyhow::Result<()> {
        let commands = self.commands.as_ref().context("a reader has ended")?;
        commands
            .try_send(command)
            .map_err(|_| anyhow::anyhow!("a reader does not listen"))?;
        Ok(self.waker.wake()?)
    }

    pub(super) async fn report(&self, end: u64) -> anyhow::Result<(Tally, u64)> {
        let (answer, answered) = oneshot::channel();
        self.send(Command::Report(end, answer))?;
        answered.await.context("a reader has ended")
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.commands = None;
        // If it cannot be woken it has ended.
        let _ = self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Work {
    poll: Poll,
    commands: Receiver<Command>,
    progress: Arc<Progress>,
    connections: Vec<Option<Connection>>,
    unopened: VecDeque<Plan>,
    /// Connections that are not ready yet.
    opening: usize,
    buffer: Vec<u8>,
    tally: Tally,
    /// Bytes that each connection may read in a second.
    pace: Option<u64>,
    paced_at: Instant,
    deliveries: u64,
}

impl Work {
    fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS_MAX);
        loop {
            let patience = self
                .pace
                .map(|_| SLOW_TICK.saturating_sub(self.paced_at.elapsed()));
            match self.poll.poll(&mut events, patience) {
                Err(error) if error.kind() != ErrorKind::Interrupted => {
                    return self.progress.lose(&error.into());
                }
                _ => {}
            }
            for event in &events {
                if event.token() != WAKER {
                    self.serve(
                        event.token().0,
                        event.is_read_closed() || event.is_error(),
                        event.is_writable(),
                    );
                } else if !self.obey() {
                    return;
                }
            }
            if self.pace.is_some() && self.paced_at.elapsed() >= SLOW_TICK {
                self.read_slowly();
            }
            self.open_more();
            self.progress.deliveries.store(self.deliveries, Ordering::Release);
        }
    }

    /// Whether it is to go on.
    fn obey(&mut self) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(Command::Open(plans)) => self.unopened.extend(plans),
                Ok(Command::Begin(window)) => self.tally.begin(window),
                Ok(Command::Pace(pace)) => {
                    self.pace = pace;
                    self.paced_at = Instant::now();
                    if pace.is_none() {
                        // What came meanwhile was told, and will not be told again.
                        (0..self.connections.len()).for_each(|index| self.serve(index, false, true));
                    }
                }
                Ok(Command::Report(end, answer)) => {
                    let open = self.connections.iter().flatten();
                    let outstanding = open.map(|connection| connection.outstanding(end)).sum();
                    // Nobody may want to know any more.
                    let _ = answer.send((self.tally.clone(), outstanding));
                }
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn open_more(&mut self) {
        while self.opening < OPENING_MAX {
            let Some(plan) = self.unopened.pop_front() else {
                return;
            };
            let token = Token(self.connections.len());
            match Connection::open(plan, self.poll.registry(), token) {
                Ok(connection) => {
                    self.opening += 1;
                    self.connections.push(Some(connection));
                }
                Err(error) => self.progress.lose(&error),
            }
        }
    }

    fn read_slowly(&mut self) {
        let elapsed = self.paced_at.elapsed();
        self.paced_at = Instant::now();
        let bytes = self.pace.unwrap_or_default() as f64 * elapsed.as_secs_f64();
        for index in 0..self.connections.len() {
            // A part of a byte is drawn for, so that even the slowest get on.
            self.read(index, (bytes + fastrand::f64()) as usize, false);
        }
    }

    fn serve(&mut self, index: usize, closed: bool, writable: bool) {
        if writable {
            let Some(connection) = &mut self.connections[index] else {
                return;
            };
            if let Err(error) = connection.write() {
                return self.lose(index, &error);
            }
        }
        let ready = self.connections[index]
            .as_ref()
            .is_some_and(|connection| connection.ready);
        if self.pace.is_none() || !ready {
            self.read(index, usize::MAX, closed);
        }
    }

    fn read(&mut self, index: usize, limit: usize, until_end: bool) {
        let Some(connection) = &mut self.connections[index] else {
            return;
        };
        let was_ready = connection.ready;
        let read = connection.read(&mut self.buffer, limit, until_end, now_us, &mut self.tally);
        if !was_ready && connection.ready {
            self.opening -= 1;
            self.progress.ready.fetch_add(1, Ordering::Release);
        }
        match read {
            Ok(events) => self.deliveries += events,
            Err(error) => self.lose(index, &error),
        }
    }

    fn lose(&mut self, index: usize, error: &anyhow::Error) {
        let Some(connection) = self.connections[index].take() else {
            return;
        };
        match connection.ready {
            true => drop(self.progress.ready.fetch_sub(1, Ordering::Release)),
            false => self.opening -= 1,
        }
        connection.close(self.poll.registry());
        self.progress.lose(error);
    }
}
