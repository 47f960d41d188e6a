//! An edge in this process, on a port of its own, for tests.

#![allow(dead_code, unreachable_pub)]

use std::net::SocketAddr;
use std::sync::Arc;

use broker::{Log, MemoryLog};
use edge::app::AppState;
use edge::config::Config;
use edge::server;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A running edge; it is told to stop when this is dropped.
pub struct TestEdge {
    pub address: SocketAddr,
    pub state: AppState,
    pub shutdown: CancellationToken,
    pub server: JoinHandle<std::io::Result<()>>,
}

impl TestEdge {
    /// An edge with default settings on an empty in-memory log.
    pub async fn start() -> Self {
        Self::start_with(Config::default()).await
    }

    /// An edge with these settings on an empty in-memory log.
    pub async fn start_with(config: Config) -> Self {
        let log = MemoryLog::new(config.memory_config());
        Self::start_on(log, config).await
    }

    /// An edge on this log. Two edges on one log are a cluster.
    pub async fn start_on(log: Arc<dyn Log>, config: Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = AppState::new(config, log);
        let shutdown = CancellationToken::new();
        let server = tokio::spawn(server::run(listener, state.clone(), shutdown.clone()));
        Self {
            address,
            state,
            shutdown,
            server,
        }
    }

    /// `http://ADDRESS` and a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for TestEdge {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}
