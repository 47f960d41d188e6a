//! `weir serve` on a real Redis as a child process.

use std::net::TcpListener;
use std::process::Stdio;
use std::time::{Duration, Instant};

use broker::testing::RedisServer;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::weir_process::{Weir, weir};

/// How long a test waits for anything before it fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// An edge that can be killed and started again in the same place.
pub(crate) struct Edge {
    address: String,
    redis: String,
    config: tempfile::NamedTempFile,
    child: Option<Child>,
}

impl Edge {
    /// An edge on this Redis.
    pub(crate) async fn start(redis: &RedisServer) -> Self {
        Self::start_at(redis.url()).await
    }

    /// An edge on the Redis with this URL.
    pub(crate) async fn start_at(redis: String) -> Self {
        Self::start_with(redis, "").await
    }

    /// The same with a configuration file of this text.
    pub(crate) async fn start_with(redis: String, config: &str) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), config).unwrap();
        // Nobody else takes the port in the moment between: the system hands out others first.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut edge = Self {
            address: address.to_string(),
            redis,
            config: file,
            child: None,
        };
        edge.launch();
        edge.answers().await;
        edge
    }

    fn launch(&mut self) {
        let child = Command::new(env!("CARGO_BIN_EXE_weir"))
            .args([
                "serve",
                "--listen",
                &self.address,
                "--redis",
                &self.redis,
                "--config",
            ])
            .arg(self.config.path())
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        self.child = Some(child.unwrap());
    }

    async fn answers(&self) {
        let deadline = Instant::now() + DEADLINE;
        while TcpStream::connect(&self.address).await.is_err() {
            assert!(Instant::now() < deadline, "the edge does not listen");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// SIGKILL, and a new start.
    pub(crate) async fn crash(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().await.unwrap();
        self.launch();
    }

    /// SIGTERM, and a new start once it has drained.
    pub(crate) async fn restart(&mut self) {
        let mut child = self.child.take().unwrap();
        let pid = child.id().unwrap().to_string();
        let status = std::process::Command::new("kill").args(["-TERM", &pid]).status();
        assert!(status.unwrap().success());
        let ended = tokio::time::timeout(DEADLINE, child.wait()).await;
        assert!(ended.expect("the edge drains in time").unwrap().success());
        self.launch();
    }

    /// A tail of stream `log:x` that prints the data alone.
    pub(crate) fn tail(&self, args: &[&str]) -> Weir {
        let url = self.url();
        let fixed = ["tail", "log:x", "--output", "raw", "--url", url.as_str()];
        weir(fixed.iter().chain(args).copied())
    }

    /// A publisher to stream `log:x`.
    pub(crate) fn publish(&self, args: &[&str]) -> Weir {
        let url = self.url();
        weir(
            ["publish", "log:x", "--url", url.as_str()]
                .iter()
                .chain(args)
                .copied(),
        )
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}
