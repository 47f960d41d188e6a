//! The processes under test: a Redis that appends to a file, or two under Sentinels, and edges, all behind proxies.
//! Everything is killed when it is dropped, also when a test panics.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use benches::peers::{self, Pings};
use broker::testing::{RedisServer, SentinelGroup, signal};
use tokio::time::{Instant, sleep};

use crate::http;
use crate::proxy::{Proxy, Upstream};

/// How long an edge may take until it is ready.
const READY: Duration = Duration::from_secs(60);
/// How long it may take to end when asked to.
const DRAIN: Duration = Duration::from_secs(30);
/// How often it is looked at.
const READY_POLL: Duration = Duration::from_millis(20);
/// Ports from which edges get theirs: below those that the system gives to outgoing connections, so that nobody
/// takes the port of an edge that is down.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// What the edges are.
#[derive(Debug, Clone)]
pub enum Program {
    /// `weir serve` with this file.
    Weir(String),
    /// Socket.IO on Node.js with its Redis Streams adapter.
    Node(Pings),
}

/// How clients reach the edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Front {
    /// Each edge behind a proxy of its own.
    EachItsOwn,
    /// One proxy for all: each connection to the next edge.
    RoundRobin,
    /// That, and another one behind which a client's address always comes to the same edge.
    RoundRobinAndSticky,
    /// Each edge behind a proxy of its own, and behind them one for all.
    EachItsOwnThenRoundRobin,
}

impl Front {
    fn upstreams(self, edges: Vec<SocketAddr>) -> Vec<Upstream> {
        match self {
            Self::EachItsOwn => edges.into_iter().map(Upstream::Tcp).collect(),
            Self::RoundRobin => vec![Upstream::RoundRobin(edges)],
            Self::RoundRobinAndSticky => {
                vec![Upstream::RoundRobin(edges.clone()), Upstream::ByClient(edges)]
            }
            Self::EachItsOwnThenRoundRobin => {
                let each = edges.iter().copied().map(Upstream::Tcp);
                each.chain([Upstream::RoundRobin(edges.clone())]).collect()
            }
        }
    }
}

/// A proxy for each; their seeds follow each other.
async fn proxies(upstreams: Vec<Upstream>, seed: u64) -> Vec<Proxy> {
    let mut proxies = Vec::new();
    for (number, upstream) in upstreams.into_iter().enumerate() {
        proxies.push(Proxy::start(upstream, seed + number as u64).await.unwrap());
    }
    proxies
}

/// What a cluster is made of.
#[derive(Debug, Clone)]
pub struct Setup {
    /// What the edges are.
    pub program: Program,
    /// How many.
    pub edges: usize,
    /// How clients reach them.
    pub front: Front,
    /// The command line of Redis.
    pub redis_arguments: &'static [&'static str],
    /// Sentinels that watch over Redis and a replica of it; without any it is one server.
    pub sentinels: usize,
    /// Decides over ports and cuts.
    pub seed: u64,
}

/// Where the log is.
pub enum Redis {
    /// One server.
    One(RedisServer),
    /// One that has a replica, and Sentinels.
    Group(SentinelGroup),
}

impl Redis {
    /// The servers under Sentinels.
    pub fn group(&mut self) -> &mut SentinelGroup {
        match self {
            Self::Group(group) => group,
            Self::One(_) => panic!("it is one server"),
        }
    }
}

impl Deref for Redis {
    type Target = RedisServer;

    /// The one that takes writes.
    fn deref(&self) -> &RedisServer {
        match self {
            Self::One(server) => server,
            Self::Group(group) => group.primary(),
        }
    }
}

/// Redis, edges, and the proxies before them.
pub struct Cluster {
    /// The log itself.
    pub redis: Redis,
    /// Between each edge and Redis, where that is one server.
    pub redis_links: Vec<Proxy>,
    /// The edges.
    pub edges: Vec<Edge>,
    /// Between clients and edges.
    pub links: Vec<Proxy>,
    _folder: tempfile::TempDir,
}

impl Cluster {
    /// Starts everything.
    pub async fn start(setup: &Setup) -> Self {
        let redis = match setup.sentinels {
            0 => Redis::One(RedisServer::start_with_args(setup.redis_arguments).await),
            sentinels => Redis::Group(SentinelGroup::start(sentinels, setup.redis_arguments).await),
        };
        let folder = tempfile::TempDir::with_prefix("weir-faults-").unwrap();
        let file = folder.path().join("weir.toml");
        if let Program::Weir(configuration) = &setup.program {
            std::fs::write(&file, configuration).unwrap();
        }
        let mut random = fastrand::Rng::with_seed(setup.seed ^ u64::from(std::process::id()));
        let redis_links = proxies(vec![Upstream::Unix(redis.socket()); setup.edges], setup.seed).await;
        let mut edges = Vec::new();
        for (number, link) in redis_links.iter().enumerate() {
            let launcher = Launcher {
                redis: match &redis {
                    Redis::One(_) => format!("redis://{}", link.address()),
                    Redis::Group(group) => group.url(),
                },
                program: setup.program.clone(),
                file: file.clone(),
            };
            let log = folder.path().join(format!("edge-{number}.log"));
            edges.push(Edge::start(free_port(&mut random), launcher, log).unwrap());
        }
        let addresses = edges.iter().map(|edge| edge.address).collect();
        let links = proxies(setup.front.upstreams(addresses), setup.seed + 1).await;
        let cluster = Self {
            redis,
            redis_links,
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

    /// Where clients reach edges.
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

/// One process that serves clients.
pub struct Edge {
    /// Where it listens, also after a restart.
    pub address: SocketAddr,
    /// Where its standard error goes.
    pub log: PathBuf,
    launcher: Launcher,
    process: Mutex<Child>,
}

impl Edge {
    /// Starts the process.
    fn start(address: SocketAddr, launcher: Launcher, log: PathBuf) -> io::Result<Self> {
        let process = launcher.launch(address, &log)?;
        Ok(Self {
            address,
            log,
            launcher,
            process: Mutex::new(process),
        })
    }

    /// The most memory it has had so far, in bytes (`VmHWM` of `/proc/PID/status`).
    pub fn peak_memory_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
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
        let process = self.process.get_mut().unwrap();
        let _ = process.kill();
        let _ = process.wait();
    }

    /// Starts it again at the same address.
    pub fn restart(&mut self) -> io::Result<()> {
        self.kill();
        *self.process.get_mut().unwrap() = self.launcher.launch(self.address, &self.log)?;
        Ok(())
    }

    /// An edge does not begin without Redis, whose link may have been cut at just that moment: it is started again, as
    /// whoever supervises it does. One that has ended for another reason stays away.
    fn start_again_if_it_found_no_redis(&self) {
        let mut process = self.process.lock().unwrap();
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let found_none = log
            .lines()
            .next_back()
            .is_some_and(|line| line.starts_with("weir: cannot use Redis"));
        if process
            .try_wait()
            .unwrap()
            .is_some_and(|status| !status.success())
            && found_none
        {
            *process = self.launcher.launch(self.address, &self.log).unwrap();
        }
    }

    fn id(&self) -> u32 {
        self.process.lock().unwrap().id()
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    pub async fn drain(&mut self) {
        self.signal("TERM");
        let deadline = Instant::now() + DRAIN;
        while self.process.get_mut().unwrap().try_wait().unwrap().is_none() {
            assert!(
                Instant::now() < deadline,
                "told to end {DRAIN:?} ago; its log:\n{}",
                std::fs::read_to_string(&self.log).unwrap_or_default()
            );
            sleep(READY_POLL).await;
        }
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
        signal(self.id(), name);
    }

    /// Whether it says that it can append and tail; the error is why not.
    pub async fn is_ready(&self) -> io::Result<()> {
        let socket = http::connect(self.address, None).await?;
        http::get(socket, "/readyz", &[]).await.map(drop)
    }

    /// Waits until it can append and tail.
    pub async fn ready(&self) {
        let deadline = Instant::now() + READY;
        loop {
            let Err(error) = self.is_ready().await else {
                return;
            };
            let log = || std::fs::read_to_string(&self.log).unwrap_or_default();
            assert!(
                Instant::now() < deadline,
                "not ready: {error}; its log:\n{}",
                log()
            );
            self.start_again_if_it_found_no_redis();
            sleep(READY_POLL).await;
        }
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts an edge, again and again in the same way.
#[derive(Debug, Clone)]
struct Launcher {
    program: Program,
    redis: String,
    /// Where the configuration is, if the program has one.
    file: PathBuf,
}

impl Launcher {
    fn launch(&self, address: SocketAddr, log: &Path) -> io::Result<Child> {
        let log = File::options().create(true).append(true).open(log)?;
        self.command(address)?
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
    }

    fn command(&self, address: SocketAddr) -> io::Result<Command> {
        if let Program::Node(pings) = &self.program {
            let command = peers::socketio_redis_streams(address.port(), &self.redis, *pings);
            return command.map_err(|error| io::Error::other(format!("{error:#}")));
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        command
            .args(["serve", "--listen", &address.to_string(), "--redis", &self.redis])
            .arg("--config")
            .arg(&self.file);
        // What the caller's shell holds is not part of the test.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WEIR_")) {
            command.env_remove(name);
        }
        Ok(command)
    }
}
