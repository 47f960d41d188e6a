//! A server on a port of its own, with a protocol that does what a test tells it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use edge::config::LimitSettings;
use edge::engineio::{
    self, Elsewhere, Ended, Message, Opened, Outbox, Protocol, Service, Settings, Surroundings,
};
use edge::origins::Origins;
use edge::server::{self, Hosting};
use shared::EdgeId;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::client::soon;

/// Bytes of one message of a flood.
pub const FLOOD_BYTES: usize = 32 * 1024;

/// What a test tells the protocols of a server, and what it sees of them.
pub struct Lab {
    deaf: AtomicBool,
    stubborn: AtomicBool,
    pub taken: AtomicUsize,
    pub flooded: AtomicUsize,
    ended: Mutex<Vec<Ended>>,
    wakers: Mutex<Vec<Waker>>,
    pub queries: Mutex<Vec<String>>,
}

impl Lab {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            deaf: AtomicBool::new(false),
            stubborn: AtomicBool::new(false),
            taken: AtomicUsize::new(0),
            flooded: AtomicUsize::new(0),
            ended: Mutex::default(),
            wakers: Mutex::default(),
            queries: Mutex::default(),
        })
    }

    /// Whether the protocols take no messages.
    pub fn set_deaf(&self, deaf: bool) {
        self.deaf.store(deaf, Ordering::Relaxed);
        for waker in self.wakers.lock().unwrap().drain(..) {
            waker.wake();
        }
    }

    /// The protocols do not end when the edge stops.
    pub fn set_stubborn(&self) {
        self.stubborn.store(true, Ordering::Relaxed);
    }

    /// Waits for the end of so many sessions, and returns why they ended.
    pub async fn ended(&self, count: usize) -> Vec<Ended> {
        soon("the end of a session", async {
            loop {
                let ended = self.ended.lock().unwrap().clone();
                if ended.len() >= count {
                    return ended;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
    }

    /// How many sessions have ended.
    pub fn ended_so_far(&self) -> usize {
        self.ended.lock().unwrap().len()
    }
}

/// Makes the protocols. Who asks with `refuse=` is not let in.
pub struct Labs(Arc<Lab>);

impl Service for Labs {
    type Protocol = Subject;

    fn admit(&self, opened: &Opened<'_>) -> Result<(), std::borrow::Cow<'static, str>> {
        match opened.query.contains("refuse=") {
            true => Err("you are not welcome".into()),
            false => Ok(()),
        }
    }

    fn open(&self, opened: &Opened<'_>) -> Subject {
        self.0.queries.lock().unwrap().push(opened.query.to_owned());
        Subject {
            lab: Arc::clone(&self.0),
            flooding: false,
        }
    }
}

/// Echoes messages, but `flood` (says as much as is taken from now on) and `close` (ends the session).
pub struct Subject {
    lab: Arc<Lab>,
    flooding: bool,
}

impl Protocol for Subject {
    fn wants_message(&self) -> bool {
        !self.lab.deaf.load(Ordering::Relaxed)
    }

    fn message(&mut self, message: Message, out: &mut Outbox) {
        assert!(self.wants_message());
        self.lab.taken.fetch_add(1, Ordering::Relaxed);
        match message {
            Message::Text(text) if text == "flood" => self.flooding = true,
            Message::Text(text) if text == "close" => {
                out.text(&[b"clos", b"ing"]);
                out.close();
            }
            Message::Text(text) => out.text(&[&text]),
            Message::Binary(bytes) => out.binary(&bytes),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, writable: bool, out: &mut Outbox) -> Poll<()> {
        let mut wakers = self.lab.wakers.lock().unwrap();
        if !wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            wakers.push(cx.waker().clone());
        }
        drop(wakers);
        if !(self.flooding && writable) {
            return Poll::Pending;
        }
        assert!(out.is_empty());
        out.binary(&[7; FLOOD_BYTES]);
        self.lab.flooded.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(())
    }

    fn drain(&mut self, out: &mut Outbox) {
        if !self.lab.stubborn.load(Ordering::Relaxed) {
            out.text(&[b"draining"]);
            out.close();
        }
    }

    fn ended(&mut self, reason: Ended) {
        self.lab.ended.lock().unwrap().push(reason);
    }
}

/// A running server; it is told to stop when this is dropped.
pub struct Server {
    pub address: SocketAddr,
    pub edge: EdgeId,
    pub lab: Arc<Lab>,
    pub hosting: Hosting,
    pub shutdown: CancellationToken,
}

/// What a server is like.
pub struct Wishes {
    pub settings: Settings,
    pub origins: Vec<String>,
    pub limits: LimitSettings,
    pub edge: EdgeId,
    /// Made of the server's own way to end.
    #[allow(clippy::type_complexity)]
    pub elsewhere: Option<Box<dyn FnOnce(&Hosting) -> Arc<dyn Elsewhere> + Send>>,
}

impl Default for Wishes {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            origins: Vec::new(),
            limits: LimitSettings::default(),
            edge: EdgeId::from_random(std::array::from_fn(|_| fastrand::u8(..))),
            elsewhere: None,
        }
    }
}

impl Server {
    pub async fn start() -> Self {
        Self::start_with(Wishes::default()).await
    }

    /// A server with other settings.
    pub async fn start_set(settings: Settings) -> Self {
        Self::start_with(Wishes {
            settings,
            ..Wishes::default()
        })
        .await
    }

    pub async fn start_with(wishes: Wishes) -> Self {
        let listener = server::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let hosting = Hosting {
            limits: Arc::new(wishes.limits),
            drain_deadline: Duration::from_secs(20),
            drain: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let lab = Lab::new();
        let surroundings = Surroundings {
            edge: wishes.edge,
            origins: Arc::new(Origins::parse(&wishes.origins).unwrap()),
            tasks: hosting.tasks.clone(),
            drain: hosting.drain.clone(),
            elsewhere: wishes.elsewhere.map(|make| make(&hosting)),
        };
        let router = engineio::router(wishes.settings, Labs(Arc::clone(&lab)), surroundings);
        let shutdown = CancellationToken::new();
        tokio::spawn(server::host(
            listener,
            router,
            hosting.clone(),
            shutdown.clone(),
            || {},
        ));
        Self {
            address,
            edge: wishes.edge,
            lab,
            hosting,
            shutdown,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}
