//! The processes under test: a Redis that appends to a file, and edges, all behind proxies. Everything is killed
//! when it is dropped, also when a test panics.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use broker::testing::RedisServer;
use tokio::time::{Instant, sleep};

use crate::http;
use crate::proxy::{Proxy, Upstream};

/// Edges of a cluster.
pub const EDGES: usize = 2;
/// How long an edge may take until it is ready.
const READY: Duration = Duration::from_secs(60);
/// How often it is asked.
const READY_POLL: Duration = Duration::from_millis(20);
/// Ports from which edges get theirs: below those that the system gives to outgoing connections, so that nobody
/// takes the port of an edge that is down.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Redis, edges, and the proxies before them.
pub struct Cluster {
    /// The log itself.
    pub redis: RedisServer,
    /// Between the edges and Redis.
    pub redis_link: Proxy,
    /// The edges.
    pub edges: Vec<Edge>,
    /// Between clients and each edge.
    pub links: Vec<Proxy>,
    _folder: tempfile::TempDir,
}

impl Cluster {
    /// Starts everything. `configuration` is the edges' file.
    pub async fn start(redis_arguments: &[&str], configuration: &str, seed: u64) -> Self {
        let redis = RedisServer::start_with_args(redis_arguments).await;
        let redis_link = Proxy::start(Upstream::Unix(redis.socket()), seed).await.unwrap();
        let folder = tempfile::TempDir::with_prefix("weir-faults-").unwrap();
        let file = folder.path().join("weir.toml");
        std::fs::write(&file, configuration).unwrap();
        let url = format!("redis://{}", redis_link.address());
        let mut random = fastrand::Rng::with_seed(seed ^ u64::from(std::process::id()));
        let (mut edges, mut links) = (Vec::new(), Vec::new());
        for number in 0..EDGES {
            let log = folder.path().join(format!("edge-{number}.log"));
            let edge = Edge::start(free_port(&mut random), &url, &file, log).unwrap();
            links.push(
                Proxy::start(Upstream::Tcp(edge.address), seed + 1 + number as u64)
                    .await
                    .unwrap(),
            );
            edges.push(edge);
        }
        let cluster = Self {
            redis,
            redis_link,
            edges,
            links,
            _folder: folder,
        };
        cluster.ready().await;
        cluster
    }

    /// Waits until every edge can append and tail.
    pub async fn ready(&self) {
        for edge in &self.edges {
            edge.ready().await;
        }
    }

    /// Where clients reach the edges.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.links.iter().map(Proxy::address).collect()
    }

    /// The last lines that each edge has logged.
    pub fn logs(&self) -> String {
        let mut out = String::new();
        for edge in &self.edges {
            let log = std::fs::read_to_string(&edge.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            out.push_str(&format!("--- {}\n", edge.address));
            for line in &lines[lines.len().saturating_sub(30)..] {
                out.push_str(&format!("{line}\n"));
            }
        }
        out
    }
}

fn free_port(random: &mut fastrand::Rng) -> SocketAddr {
    loop {
        let address = SocketAddr::from(([127, 0, 0, 1], random.u16(PORTS)));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// One `weir serve` process.
pub struct Edge {
    /// Where it listens, also after a restart.
    pub address: SocketAddr,
    /// Where its standard error goes.
    pub log: PathBuf,
    redis: String,
    configuration: PathBuf,
    process: Child,
}

impl Edge {
    /// Starts the process.
    pub fn start(address: SocketAddr, redis: &str, configuration: &Path, log: PathBuf) -> io::Result<Self> {
        let process = launch(address, redis, configuration, &log)?;
        Ok(Self {
            address,
            log,
            redis: redis.to_owned(),
            configuration: configuration.to_owned(),
            process,
        })
    }

    /// The most memory it has had so far, in bytes (`VmHWM` of `/proc/PID/status`).
    pub fn peak_memory_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kib * 1024
    }

    /// Kills it as a crash would (SIGKILL).
    pub fn kill(&mut self) {
        // Fails only if it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Starts it again at the same address.
    pub fn restart(&mut self) -> io::Result<()> {
        self.kill();
        self.process = launch(self.address, &self.redis, &self.configuration, &self.log)?;
        Ok(())
    }

    /// Stops it in its tracks (SIGSTOP); its connections stay open.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it go on (SIGCONT).
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        // The shell's own `kill`: there is no safe call for it in the standard library.
        let command = format!("kill -{name} {}", self.process.id());
        let status = Command::new("sh").arg("-c").arg(command).status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "SIG{name} could not be sent"
        );
    }

    /// Waits until it can append and tail.
    pub async fn ready(&self) {
        let deadline = Instant::now() + READY;
        loop {
            let asked = async {
                http::get(http::connect(self.address, None).await?, "/readyz", &[])
                    .await
                    .map(drop)
            };
            let Err(error) = asked.await else { return };
            let log = || std::fs::read_to_string(&self.log).unwrap_or_default();
            assert!(
                Instant::now() < deadline,
                "not ready: {error}; its log:\n{}",
                log()
            );
            sleep(READY_POLL).await;
        }
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.kill();
    }
}

fn launch(address: SocketAddr, redis: &str, configuration: &Path, log: &Path) -> io::Result<Child> {
    let log = File::options().create(true).append(true).open(log)?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command
        .args([
            "serve",
            "--listen",
            &address.to_string(),
            "--redis",
            redis,
            "--config",
        ])
        .arg(configuration);
    // What the caller's shell holds is not part of the test.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WEIR_")) {
        command.env_remove(name);
    }
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
}
