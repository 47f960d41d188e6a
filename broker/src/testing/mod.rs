//! A real Redis for tests: a private `redis-server` on a Unix socket in a temporary folder, or two of them under
//! Sentinels. Compiled only with the feature `testing`, never part of the product.
//!
//! The program is `redis-server`, or what the environment variable `WEIR_TEST_REDIS` names (for example
//! `valkey-server`).

mod append_only_file;
mod certificates;
mod cluster;
mod sentinel;

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

pub use certificates::Certificates;
pub use cluster::{ClusterNode, RedisCluster};

/// Names the server program to test with.
pub const PROGRAM_VARIABLE: &str = "WEIR_TEST_REDIS";
/// How long a server may take until it answers.
const START_DEADLINE: Duration = Duration::from_secs(30);
/// Pause between two looks at a server that starts.
const START_POLL: Duration = Duration::from_millis(5);
/// How long a command of a test may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

pub use sentinel::{MASTER, Sentinel, SentinelGroup, free_port};

/// A running server, killed when this is dropped. It opens no port and, unless told otherwise, writes no file.
#[derive(Debug)]
pub struct RedisServer {
    folder: TempDir,
    arguments: Vec<String>,
    child: Mutex<Option<Child>>,
}

impl RedisServer {
    /// Starts a server without persistence.
    ///
    /// # Panics
    /// If the program is missing or the server does not answer in time; so do the other calls.
    pub async fn start() -> Self {
        Self::start_with_args(&[]).await
    }

    /// Starts a server with further command-line arguments, which win over ours: `["--appendonly", "yes"]`.
    pub async fn start_with_args(arguments: &[&str]) -> Self {
        let server = Self {
            folder: TempDir::with_prefix("weir-redis-").expect("a temporary folder"),
            arguments: arguments.iter().map(|argument| argument.to_string()).collect(),
            child: Mutex::new(None),
        };
        server.launch().await;
        server
    }

    /// Where it listens: `unix:///…`.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// The path of its socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// Its working folder, with its log and its files if it is told to write any.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child().as_ref().map(Child::id)
    }

    /// Kills it at once, as a crash would (SIGKILL).
    pub fn kill(&self) {
        if let Some(mut child) = self.child().take() {
            // Fails only if it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks it to end (SIGTERM), as who stops a service does, and waits until it has.
    pub async fn terminate(&self) {
        self.signal("TERM");
        let deadline = Instant::now() + START_DEADLINE;
        while !self.has_ended() {
            assert!(
                Instant::now() < deadline,
                "redis-server was told to end and has not"
            );
            sleep(START_POLL).await;
        }
        *self.child() = None;
    }

    /// Stops it in its tracks (SIGSTOP): its connections stay open, and nothing is answered.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let pid = self.pid().expect("redis-server runs");
        signal(pid, name);
    }

    /// Takes all data of a server that has ended: it is empty when it is started again.
    pub fn lose_data(&self) -> io::Result<()> {
        std::fs::remove_dir_all(self.folder().join("appendonlydir"))
    }

    /// Kills it if it runs, and starts it again in the same place with the same arguments: with `--appendonly yes`
    /// its data comes back, else it is empty.
    pub async fn restart(&self) {
        self.kill();
        self.launch().await;
    }

    /// Takes the last `bytes` from the append-only file of a server that was killed, as a power failure does, and then
    /// what is only a part of a transaction. Returns how many bytes that part had; see [`append_only_file`] for why.
    pub fn lose_end_of_file(&self, bytes: u64) -> io::Result<u64> {
        append_only_file::lose_end(self.folder(), bytes)
    }

    /// A connection of the test's own, for raw commands.
    pub async fn connection(&self) -> MultiplexedConnection {
        self.connect()
            .await
            .expect("a connection to the test's redis-server")
    }

    async fn launch(&self) {
        // Left behind by a server that was killed.
        let _ = std::fs::remove_file(self.socket());
        let program = program();
        let child = Command::new(&program)
            .current_dir(self.folder.path())
            .args([
                "--port",
                "0",
                "--unixsocket",
                "redis.sock",
                "--unixsocketperm",
                "700",
            ])
            .args(["--save", "", "--appendonly", "no", "--logfile", "redis.log"])
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{program} cannot be started ({error}); is it installed?"));
        *self.child() = Some(child);
        let deadline = Instant::now() + START_DEADLINE;
        while let Err(error) = self.ping().await {
            assert!(
                !self.has_ended() && Instant::now() < deadline,
                "{program} does not answer: {error}; its log: {}",
                std::fs::read_to_string(self.folder.path().join("redis.log")).unwrap_or_default()
            );
            sleep(START_POLL).await;
        }
    }

    /// A server that loads its data refuses this; so success means that it serves.
    async fn ping(&self) -> Result<(), redis::RedisError> {
        redis::cmd("PING").query_async(&mut self.connect().await?).await
    }

    async fn connect(&self) -> Result<MultiplexedConnection, redis::RedisError> {
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(COMMAND_TIMEOUT));
        redis::Client::open(self.url())?
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }

    fn has_ended(&self) -> bool {
        let mut child = self.child();
        child
            .as_mut()
            .is_none_or(|child| !matches!(child.try_wait(), Ok(None)))
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends the signal of this name (`"TERM"`) to a process.
///
/// # Panics
/// If there is no such process.
pub fn signal(pid: u32, name: &str) {
    // The shell's own `kill`: there is no safe call for it in the standard library.
    let status = Command::new("sh")
        .arg("-c")
        .arg(format!("kill -{name} {pid}"))
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "SIG{name} could not be sent to {pid}"
    );
}

/// The server program to test with.
fn program() -> String {
    std::env::var(PROGRAM_VARIABLE).unwrap_or_else(|_| "redis-server".to_owned())
}

/// A generation, for tests of who serves a session and has no log.
pub fn generation(number: u64) -> crate::Generation {
    crate::Generation(number)
}
