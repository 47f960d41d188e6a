//! Servers that a user would pick instead of Weir, and the limit that nobody can beat, each in a folder of its own under
//! `benches/peers/`. What they are made of is pinned by a lock file there, and installed or built the first time they are
//! started.

mod node;
mod rust;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

pub use node::{socketio_redis, socketio_redis_streams, socketio_version};
pub(crate) use rust::program;
pub use rust::{bare, raw_tcp, socketioxide, socketioxide_version};

use anyhow::{Context, bail, ensure};

/// How long a peer may take until it listens.
const READY: Duration = Duration::from_secs(60);
const READY_POLL: Duration = Duration::from_millis(20);

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

impl Pings {
    /// As our peers take them, all in the same way.
    fn arguments(self) -> [String; 4] {
        [
            "--ping-interval".to_owned(),
            self.interval.as_millis().to_string(),
            "--ping-timeout".to_owned(),
            self.timeout.as_millis().to_string(),
        ]
    }
}

/// Where a peer lies.
fn folder(peer: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(peer)
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
