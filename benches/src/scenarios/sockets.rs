//! Many sockets on one server, for what they cost.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, ensure};
use rlimit::Resource;
use socket2::{Domain, Socket, Type};
use tokio::time::{Instant, sleep};

use crate::load::{Load, Protocol, Target};
use crate::peers::Pings;
use crate::servers::{Cluster, Settings};

/// Sockets from one address: ports must not run out.
const PER_ADDRESS: usize = 5_000;
/// Descriptors that a process needs beside its sockets.
const DESCRIPTORS_BESIDE: u64 = 500;
/// Longest wait until the last connection is accepted.
const ACCEPTED: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// One server with these pings.
pub(super) fn settings(pings: Pings) -> Settings {
    Settings {
        edges: 1,
        pings,
        ..Settings::default()
    }
}

/// Lets this process, and those that it starts from now on, have so many sockets. An error says that they cannot.
pub(super) fn allow(sockets: usize) -> anyhow::Result<()> {
    let wanted = sockets as u64 + DESCRIPTORS_BESIDE;
    let (soft, hard) = Resource::NOFILE.get()?;
    if soft >= wanted {
        return Ok(());
    }
    // Beyond the hard limit only root may go.
    Resource::NOFILE.set(wanted, hard.max(wanted)).with_context(|| {
        format!("{sockets} sockets need a limit of open files of {wanted}, and it is {hard}")
    })
}

/// Opens sockets that speak Socket.IO over WebSocket, each of which follows one of `streams`, and returns when all do.
pub(super) async fn open(cluster: &Cluster, sockets: usize, streams: usize) -> anyhow::Result<Load> {
    let target = Target {
        servers: cluster.addresses(),
        protocol: Protocol::SocketIo,
        sockets,
        streams: (0..streams).map(|number| format!("bench:{number}")).collect(),
        publishers: 0,
        readers: 1,
        slow: 0,
    };
    Load::open(target)
        .await
        .with_context(|| format!("{} with {sockets} sockets", cluster.server().name()))
}

/// Opens connections on which nothing is said, and returns when the server has accepted all of them.
pub(super) async fn open_raw(cluster: &Cluster, sockets: usize) -> anyhow::Result<Vec<Socket>> {
    let (server, pid) = (cluster.addresses()[0], cluster.pids()[0]);
    let before = descriptors(pid)?;
    let mut open = Vec::with_capacity(sockets);
    for number in 0..sockets {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        let local = IpAddr::from([127, 0, 2, (1 + number / PER_ADDRESS) as u8]);
        socket.bind(&SocketAddr::new(local, 0).into())?;
        // Blocks while the server has not made room for more.
        socket.connect(&server.into())?;
        open.push(socket);
    }
    let deadline = Instant::now() + ACCEPTED;
    while descriptors(pid)? < before + sockets {
        ensure!(
            Instant::now() < deadline,
            "the server does not accept all connections"
        );
        sleep(POLL).await;
    }
    Ok(open)
}

/// Whether the server has kept all connections on which nothing is said.
pub(super) fn all_open(sockets: &[Socket]) -> anyhow::Result<bool> {
    for socket in sockets {
        socket.set_nonblocking(true)?;
        let mut byte = [std::mem::MaybeUninit::uninit()];
        match socket.peek(&mut byte) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// Files and sockets that a process has open.
fn descriptors(pid: u32) -> anyhow::Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}
