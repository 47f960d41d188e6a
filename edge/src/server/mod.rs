//! The server: accepts connections, speaks HTTP/1.1 on them, and ends in good order.
//!
//! A permit is taken before `accept`, so connections beyond the limit wait in the kernel's queue and cost nothing
//! here. When it is told to stop it stops accepting, tells subscribers to come back elsewhere, lets what is under
//! way finish, and cuts what is left at the deadline.

mod connection;
mod socket;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use shared::limits::{ACCEPT_PAUSE, ACCEPT_QUEUE_MAX, UPKEEP_INTERVAL};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

pub use connection::Peer;
pub use socket::into_tcp;
pub(crate) use socket::prepare;

use crate::app::{self, AppState};
use crate::config::LimitSettings;
use crate::metrics;
use connection::Connection;

/// Listens on an address such as `127.0.0.1:7400` or `localhost:0`.
pub async fn bind(address: &str) -> io::Result<TcpListener> {
    let mut last_error = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in tokio::net::lookup_host(address).await? {
        match listen(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last_error = error,
        }
    }
    Err(last_error)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // An edge that is restarted gets its port back although connections of the last one linger.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(ACCEPT_QUEUE_MAX)
}

/// What a server needs to know beside its routes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hosting {
    /// Bounds of its connections.
    pub limits: Arc<LimitSettings>,
    /// How long a shutdown waits for what is under way.
    pub drain_deadline: Duration,
    /// Cancelled by the server when it stops.
    pub drain: CancellationToken,
    /// Its connections, and whatever else a shutdown waits for.
    pub tasks: TaskTracker,
}

/// Serves an edge until `shutdown` is cancelled and what was under way has ended.
pub async fn run(listener: TcpListener, state: AppState, shutdown: CancellationToken) -> io::Result<()> {
    if state.config.socketio.enabled {
        let joined = state
            .cluster
            .join(state.edge, listener.local_addr()?, &state.config);
        joined.await.map_err(io::Error::other)?;
    }
    let router = app::router(state.clone());
    let hosting = Hosting {
        limits: Arc::new(state.config.limits.clone()),
        drain_deadline: state.config.drain.deadline,
        drain: state.drain.clone(),
        tasks: state.tasks.clone(),
    };
    metrics::connections_allowed(state.config.limits.connections_max);
    let upkeep = || state.rate.forget_idle();
    host(listener, router, hosting, shutdown, upkeep).await;
    Ok(())
}

/// Serves connections of `listener` until `shutdown` is cancelled and what was under way has ended. Calls `tidy` from
/// time to time.
pub async fn host(
    listener: TcpListener,
    router: Router,
    hosting: Hosting,
    shutdown: CancellationToken,
    tidy: impl Fn(),
) {
    let mut admission = Admission {
        permits: Arc::new(Semaphore::new(hosting.limits.connections_max)),
        full: false,
        failing: false,
    };
    let cut = CancellationToken::new();
    let mut upkeep = tokio::time::interval(UPKEEP_INTERVAL);
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = admission.accept(&listener) => accepted,
            _ = upkeep.tick() => {
                metrics::run_upkeep();
                tidy();
                continue;
            }
        };
        let Some((stream, address, permit)) = accepted else {
            continue;
        };
        match Connection::new(stream, address, permit, &hosting) {
            Ok(connection) => {
                let serving = connection.serve(router.clone(), hosting.clone(), cut.clone());
                hosting.tasks.spawn(serving);
            }
            // It was gone before it was served.
            Err(error) => debug!(%error, %address, "cannot set up a connection"),
        }
    }
    drop(listener);
    drain(&hosting, &cut).await;
}

/// Who may come in. Says once when it is full or cannot accept, not for every connection.
struct Admission {
    permits: Arc<Semaphore>,
    full: bool,
    failing: bool,
}

impl Admission {
    /// The next connection with its permit; `None` if none could be accepted this time.
    async fn accept(
        &mut self,
        listener: &TcpListener,
    ) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let full = self.permits.available_permits() == 0;
        if full && !self.full {
            warn!("the limit of connections is reached, further ones wait (limits.connections)");
        }
        self.full = full;
        // The semaphore is never closed.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok()?;
        match listener.accept().await {
            Ok((stream, address)) => {
                self.failing = false;
                Some((stream, address, permit))
            }
            // The client changed its mind while it waited.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
                ) =>
            {
                None
            }
            Err(error) => {
                if !self.failing {
                    warn!(%error, "cannot accept connections");
                }
                self.failing = true;
                tokio::time::sleep(ACCEPT_PAUSE).await;
                None
            }
        }
    }
}

/// Asks everybody to come to an end, waits for them, and cuts off who has not ended at the deadline.
async fn drain(hosting: &Hosting, cut: &CancellationToken) {
    let deadline = hosting.drain_deadline;
    metrics::draining();
    hosting.drain.cancel();
    hosting.tasks.close();
    info!(
        tasks = hosting.tasks.len(),
        deadline_s = deadline.as_secs_f64(),
        "draining"
    );
    if tokio::time::timeout(deadline, hosting.tasks.wait())
        .await
        .is_err()
    {
        warn!(
            tasks = hosting.tasks.len(),
            "the deadline of the shutdown has passed, cutting off what is left"
        );
    }
    cut.cancel();
}
