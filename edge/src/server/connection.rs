//! One connection: its socket options, its HTTP/1.1, and its end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use shared::limits::{DRAIN_SILENT_GRACE, HEADERS_MAX, READ_BUFFER_BYTES_MAX};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tracing::{Instrument as _, debug, info_span};

use super::Hosting;
use super::socket::{Patience, Socket};
use crate::metrics;
use crate::trace::ConnectionId;

/// Who is at the other end; an extension of every request.
///
/// It holds the connection's place among the connections this edge may have: whoever takes a connection over (an
/// upgraded WebSocket) keeps it for as long as the socket lives.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The address the connection came from.
    pub address: SocketAddr,
    /// The connection's name in the logs.
    pub connection: ConnectionId,
    place: Arc<Place>,
}

impl Peer {
    /// How long the peer may take nothing of an answer to the request that is being handled, before the connection is
    /// given up. Otherwise that is up to the system, see [`super::socket`].
    pub fn set_write_patience(&self, patience: Duration) {
        self.place.patience.set(patience);
    }
}

#[derive(Debug)]
struct Place {
    patience: Arc<Patience>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        metrics::connection_closed();
    }
}

pub(super) struct Connection {
    socket: Socket,
    peer: Peer,
}

impl Connection {
    pub(super) fn new(
        stream: TcpStream,
        address: SocketAddr,
        permit: OwnedSemaphorePermit,
        hosting: &Hosting,
    ) -> io::Result<Self> {
        let patience = Arc::new(Patience::default());
        let socket = Socket::new(stream, hosting.limits.peer_timeout, patience.clone())?;
        metrics::connection_opened();
        Ok(Self {
            socket,
            peer: Peer {
                address,
                connection: ConnectionId::random(),
                place: Arc::new(Place {
                    patience,
                    _permit: permit,
                }),
            },
        })
    }

    /// Serves requests until the client leaves, the connection is upgraded, or the edge has drained.
    pub(super) async fn serve(self, router: Router, hosting: Hosting, cut: CancellationToken) {
        let span = info_span!("connection", id = %self.peer.connection, peer = %self.peer.address);
        let serving = self.serve_http(router, &hosting);
        tokio::select! {
            () = serving.instrument(span) => {}
            () = cut.cancelled() => {}
        }
    }

    async fn serve_http(self, router: Router, hosting: &Hosting) {
        let limits = &hosting.limits;
        let used = AtomicBool::new(false);
        let peer = self.peer;
        let service = service_fn(|request: hyper::Request<Incoming>| {
            used.store(true, Ordering::Relaxed);
            // What one request set does not hold for the next.
            peer.place.patience.set(Duration::ZERO);
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer.clone());
            router.clone().oneshot(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_buf_size(READ_BUFFER_BYTES_MAX.max(limits.header_bytes_max))
            .max_headers(HEADERS_MAX)
            .half_close(false)
            .serve_connection(TokioIo::new(self.socket), service)
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = hosting.drain.cancelled() => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection.as_mut() => ended,
                    () = silent(&used) => Ok(()),
                }
            }
        };
        if let Err(error) = ended {
            debug!(%error, "connection ended early");
        }
    }
}

/// Returns after a grace if no request has begun on the connection by then (browsers open some in advance); nothing
/// is lost by closing it.
async fn silent(used: &AtomicBool) {
    tokio::time::sleep(DRAIN_SILENT_GRACE).await;
    if used.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}
