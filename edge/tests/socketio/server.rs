//! A server of [`Talk`] in this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use edge::config::LimitSettings;
use edge::engineio::{self, Opened, Service, Settings, Surroundings};
use edge::origins::Origins;
use edge::server::{self, Hosting};
use edge::socketio::{self, Limits};
use shared::EdgeId;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::application::{Log, Talk};

/// Runs tests of a client's options over polling only, and over WebSocket only.
macro_rules! over_both_transports {
    ($($test:ident;)*) => {$(
        mod $test {
            #[tokio::test]
            async fn polling() {
                super::$test($crate::client::options("polling")).await;
            }

            #[tokio::test]
            async fn websocket() {
                super::$test($crate::client::options("websocket")).await;
            }
        }
    )*};
}
pub(crate) use over_both_transports;

/// A running server; it is told to stop when this is dropped.
pub struct Server {
    address: std::net::SocketAddr,
    shutdown: CancellationToken,
    running: JoinHandle<()>,
    connections: Arc<AtomicUsize>,
    pub log: Arc<Log>,
}

/// Counts the connections that open.
struct Counting {
    server: socketio::Server<Talk>,
    connections: Arc<AtomicUsize>,
}

impl Service for Counting {
    type Protocol = socketio::Connection<Talk>;

    fn open(&self, opened: &Opened<'_>) -> Self::Protocol {
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.server.open(opened)
    }
}

impl Server {
    pub async fn start() -> Self {
        Self::start_with(Limits::default()).await
    }

    pub async fn start_with(limits: Limits) -> Self {
        let listener = server::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let hosting = Hosting {
            limits: Arc::new(LimitSettings::default()),
            drain_deadline: Duration::from_secs(5),
            drain: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let surroundings = Surroundings {
            edge: EdgeId::from_random(std::array::from_fn(|_| fastrand::u8(..))),
            origins: Arc::new(Origins::none()),
            tasks: hosting.tasks.clone(),
            drain: hosting.drain.clone(),
            elsewhere: None,
        };
        let settings = Settings {
            path: "/socket.io/".into(),
            ping_interval: Duration::from_millis(300),
            ping_timeout: Duration::from_secs(10),
            max_payload: 1_000_000,
            ..Settings::default()
        };
        let (log, connections) = (Arc::<Log>::default(), Arc::<AtomicUsize>::default());
        let talk = Talk {
            log: Arc::clone(&log),
            limits,
        };
        let service = Counting {
            server: socketio::Server::new(Arc::new(talk)),
            connections: Arc::clone(&connections),
        };
        let router = engineio::router(settings, service, surroundings);
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(server::host(listener, router, hosting, shutdown.clone(), || {}));
        Self {
            address,
            shutdown,
            running,
            connections,
            log,
        }
    }

    /// Where a client of this namespace goes.
    pub fn url(&self, namespace: &str) -> String {
        format!("http://{}{namespace}", self.address)
    }

    pub fn address(&self) -> std::net::SocketAddr {
        self.address
    }

    /// How many connections were opened.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Stops in good order.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        let running = std::mem::replace(&mut self.running, tokio::spawn(async {}));
        running.await.unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}
