//! What a Socket.IO client that does nothing costs: thousands of WebSockets, connected to `/` with recovery on, answering
//! pings. Resident bytes of the server's process for each, of Weir and of the Node.js peer in one run.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::Size;
use crate::client::{Client, Event, Options, Transports};
use crate::peers::Pings;
use crate::results::{Outcome, Unit};
use crate::servers::{Cluster, Server, Settings};

/// Sockets that are being opened at the same time.
const OPENING_MAX: usize = 100;
/// Sockets that come from one address: ports must not run out.
const PER_ADDRESS: usize = 5_000;
/// Longest wait until all are open.
const OPEN: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(20);

/// What was measured of one server.
#[derive(Debug, Clone)]
pub struct Idle {
    /// Which, and what its sockets follow.
    pub what: String,
    /// How many sockets.
    pub sockets: usize,
    /// Resident bytes of the process before the first socket.
    pub before: u64,
    /// And with all of them, after some pings.
    pub after: u64,
}

impl Idle {
    /// Resident bytes for each socket.
    pub fn per_socket(&self) -> u64 {
        self.after.saturating_sub(self.before) / self.sockets as u64
    }

    fn outcome(&self) -> Outcome {
        Outcome::new("idle", self.what.clone(), "", format!("{} sockets", self.sockets))
            .value("resident before", self.before as f64, Unit::Mebibytes)
            .value("resident after", self.after as f64, Unit::Mebibytes)
            .plot("resident for each socket", self.per_socket() as f64, Unit::Bytes)
    }
}

/// Measures both servers, with sockets that follow nothing and with sockets that follow one stream.
pub async fn measure(size: Size) -> anyhow::Result<Vec<Outcome>> {
    let (sockets, pings) = match size {
        Size::Smoke => (200, Duration::from_millis(300)),
        Size::Full => (10_000, Duration::from_secs(5)),
    };
    rlimit::increase_nofile_limit(u64::MAX).context("raising the limit of open files")?;
    let pings = Pings {
        interval: pings,
        timeout: Duration::from_secs(20),
    };
    let mut rows = Vec::new();
    let settings = Settings {
        edges: 1,
        pings,
        weir: String::new(),
    };
    for stream in [None, Some("idle")] {
        for server in [Server::Weir, Server::NodeStreams] {
            let cluster = Cluster::start(server, &settings).await?;
            rows.push(one(&cluster, sockets, stream, pings).await?.outcome());
        }
    }
    Ok(rows)
}

async fn one(
    cluster: &Cluster,
    sockets: usize,
    stream: Option<&'static str>,
    pings: Pings,
) -> anyhow::Result<Idle> {
    let (what, server) = (cluster.server().name(), cluster.addresses()[0]);
    let before = cluster.accounts()?.edges.resident;
    let (ready, broken) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut tasks = JoinSet::new();
    let deadline = Instant::now() + OPEN;
    for number in 0..sockets {
        while number - ready.load(Ordering::Relaxed) >= OPENING_MAX {
            ensure!(
                Instant::now() < deadline,
                "{what} takes no more sockets after {number}"
            );
            sleep(POLL).await;
        }
        let options = Options {
            local: Some(IpAddr::from([127, 0, 2, (1 + number / PER_ADDRESS) as u8])),
            transports: Transports::WebSocket,
            ..Options::new(server)
        };
        tasks.spawn(idle(options, stream, ready.clone(), broken.clone()));
    }
    while ready.load(Ordering::Relaxed) < sockets {
        ensure!(Instant::now() < deadline, "{what} does not answer all sockets");
        sleep(POLL).await;
    }
    // Every socket is pinged, and answers.
    sleep(pings.interval * 3).await;
    let broken = broken.load(Ordering::Relaxed);
    ensure!(broken == 0, "{what}: {broken} connections did not last");
    let follows = stream.map_or("nothing", |_| "one stream");
    Ok(Idle {
        what: format!("{what}, following {follows}"),
        sockets,
        before,
        after: cluster.accounts()?.edges.resident,
    })
}

/// Connects, follows the stream if there is one, and stays.
async fn idle(
    options: Options,
    stream: Option<&'static str>,
    ready: Arc<AtomicUsize>,
    broken: Arc<AtomicUsize>,
) {
    let mut client = Client::new(options);
    while let Some(event) = client.next().await {
        match event {
            Event::Connected { .. } => match stream {
                Some(stream) => drop(client.emit_with_ack("subscribe", &[json!({ "stream": stream })])),
                None => drop(ready.fetch_add(1, Ordering::Relaxed)),
            },
            Event::Acknowledged { .. } => drop(ready.fetch_add(1, Ordering::Relaxed)),
            Event::Disconnected { .. } | Event::ConnectError { .. } | Event::Refused { .. } => {
                broken.fetch_add(1, Ordering::Relaxed);
            }
            Event::Received(_) => {}
        }
    }
}
