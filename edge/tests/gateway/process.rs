//! `weir serve` as processes that can be killed.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;

use broker::testing::RedisServer;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::client::DEADLINE;

/// An edge that can be killed and started again in the same place.
pub struct Edge {
    pub address: SocketAddr,
    redis: String,
    config: String,
    folder: tempfile::TempDir,
    child: Option<Child>,
}

impl Edge {
    /// An edge on this Redis, with a configuration file of this text.
    pub async fn start(redis: &RedisServer, config: &str) -> Self {
        // Nobody else takes the port in the moment between: the system hands out others first.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut edge = Self {
            address,
            redis: redis.url(),
            config: config.to_owned(),
            folder: tempfile::tempdir().unwrap(),
            child: None,
        };
        edge.launch().await;
        edge
    }

    /// Starts it again.
    pub async fn launch(&mut self) {
        let file = self.folder.path().join("weir.toml");
        std::fs::write(&file, &self.config).unwrap();
        self.child = Some(self.spawn(&file));
        let deadline = Instant::now() + DEADLINE;
        while TcpStream::connect(self.address).await.is_err() {
            assert!(Instant::now() < deadline, "the edge does not listen");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// Waits until it has all its connections to Redis.
    pub async fn ready(&self) {
        let url = format!("http://{}", self.address);
        let mut asks = Command::new(env!("CARGO_BIN_EXE_weir"));
        asks.args(["health", "--ready", "--url", &url])
            .env_clear()
            .stderr(Stdio::null());
        let deadline = Instant::now() + DEADLINE;
        while !asks.status().await.unwrap().success() {
            assert!(Instant::now() < deadline, "the edge is not ready");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    fn spawn(&self, file: &Path) -> Child {
        let listen = self.address.to_string();
        Command::new(env!("CARGO_BIN_EXE_weir"))
            .args(["serve", "--listen", &listen, "--redis", &self.redis])
            .arg("--config")
            .arg(file)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    /// SIGKILL.
    pub async fn kill(&mut self) {
        self.child.take().unwrap().kill().await.unwrap();
    }

    /// SIGTERM, and waits until it has ended in good order.
    pub async fn terminate(&mut self) {
        let mut child = self.child.take().unwrap();
        let pid = child.id().unwrap().to_string();
        let status = std::process::Command::new("kill").args(["-TERM", &pid]).status();
        assert!(status.unwrap().success());
        let ended = tokio::time::timeout(DEADLINE, child.wait()).await;
        assert!(ended.expect("the edge drains in time").unwrap().success());
    }
}
