//! A server's process, which ends with its handle.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

/// How long a server may take until it listens.
const READY: Duration = Duration::from_secs(60);
const READY_POLL: Duration = Duration::from_millis(20);
/// Ports of servers: below those that the system gives to outgoing connections, so that a client which looks for a
/// server that is down does not take its port.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A running server.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    pub(super) address: SocketAddr,
}

impl Process {
    /// Starts what `command` makes for a free port, and waits until it listens there.
    pub(super) async fn start(command: impl FnOnce(u16) -> anyhow::Result<Command>) -> anyhow::Result<Self> {
        // The port is held until the program is there, which may have to be built first.
        let held = loop {
            match TcpListener::bind(("127.0.0.1", fastrand::u16(PORTS))) {
                Err(error) if error.kind() == ErrorKind::AddrInUse => {}
                bound => break bound?,
            }
        };
        let address = held.local_addr()?;
        let command = command(address.port())?;
        drop(held);
        Self::start_at(address, command).await
    }

    /// Starts a program, and waits until it listens at `address`.
    pub(super) async fn start_at(address: SocketAddr, mut command: Command) -> anyhow::Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .with_context(|| format!("starting {program}"))?;
        let mut process = Self { child, address };
        let deadline = Instant::now() + READY;
        while TcpStream::connect(address).is_err() {
            if let Some(status) = process.child.try_wait()? {
                bail!("{program} ended before it listened: {status}");
            }
            ensure!(
                Instant::now() < deadline,
                "{program} does not listen on {address}"
            );
            tokio::time::sleep(READY_POLL).await;
        }
        Ok(process)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
