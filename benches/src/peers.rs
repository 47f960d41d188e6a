//! Servers that a user would pick instead of Weir, each in a folder of its own under `benches/peers/`. What they need
//! from npm is installed the first time they are started.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

/// How long a peer may take until it listens.
const READY: Duration = Duration::from_secs(60);
const READY_POLL: Duration = Duration::from_millis(20);
/// A file that holds the lock file from which `node_modules` was installed.
const INSTALLED: &str = "node_modules/.installed";

/// How often a Socket.IO server pings, and how long it waits for the answer.
#[derive(Debug, Clone, Copy)]
pub struct Pings {
    /// The pause between two pings.
    pub interval: Duration,
    /// How long the answer may take.
    pub timeout: Duration,
}

impl Default for Pings {
    /// What Socket.IO itself does.
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(25),
            timeout: Duration::from_secs(20),
        }
    }
}

/// The command that runs Socket.IO on Node.js with its Redis Streams adapter on this port. It has `/readyz`, and takes
/// NDJSON at `/v1/streams/NAME` as Weir does; see its source for what it does.
pub fn socketio_redis_streams(port: u16, redis: &str, pings: Pings) -> anyhow::Result<Command> {
    let folder = installed("socketio-redis-streams")?;
    let mut command = Command::new("node");
    command
        .arg(folder.join("server.mjs"))
        .args(["--port", &port.to_string(), "--redis", redis])
        .args(["--ping-interval", &pings.interval.as_millis().to_string()])
        .args(["--ping-timeout", &pings.timeout.as_millis().to_string()])
        .env("NODE_ENV", "production");
    Ok(command)
}

/// The folder of a peer, with its packages.
fn installed(peer: &str) -> anyhow::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(peer);
    let wanted = std::fs::read(folder.join("package-lock.json")).context("no such peer")?;
    // One at a time: tests are processes of their own.
    let lock = File::open(folder.join("package.json"))?;
    lock.lock()?;
    if std::fs::read(folder.join(INSTALLED)).ok().as_ref() != Some(&wanted) {
        let output = Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund", "--loglevel=error"])
            .current_dir(&folder)
            .output()
            .context("npm is needed")?;
        ensure!(
            output.status.success(),
            "npm ci in {}: {}",
            folder.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        std::fs::write(folder.join(INSTALLED), wanted)?;
    }
    Ok(folder)
}

/// A running peer; it ends with its handle.
pub struct Peer {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Peer {
    /// Starts Socket.IO on Node.js with its Redis Streams adapter, and waits until it listens.
    pub fn socketio_redis_streams(redis: &str, pings: Pings) -> anyhow::Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = socketio_redis_streams(address.port(), redis, pings)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .context("node is needed")?;
        let mut peer = Self { child, address };
        let deadline = Instant::now() + READY;
        while std::net::TcpStream::connect(address).is_err() {
            if let Some(status) = peer.child.try_wait()? {
                bail!("the peer ended: {status}");
            }
            ensure!(Instant::now() < deadline, "the peer does not listen");
            std::thread::park_timeout(READY_POLL);
        }
        Ok(peer)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
