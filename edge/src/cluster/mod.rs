//! The other edges of the cluster: how a request reaches the edge that has its session.
//!
//! * [`signature`]: how edges prove to each other that they know the secret of their cluster. Pure.
//! * [`addresses`]: where the others are; [`presence`] tells them where this one is: its [`address`].
//! * [`forward`]: a polling request goes as a request of its own, over pooled connections; [`tunnel`]: a WebSocket goes
//!   byte by byte. A request is never forwarded twice.
//!
//! An edge may be gone, or its address be that of another one by now: then there is no such session, and the client
//! begins a new one.

mod address;
mod addresses;
mod forward;
mod presence;
mod signature;
mod tunnel;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use broker::Edges;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use shared::EdgeId;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, RedisUrl};
use crate::engineio::{Brought, Elsewhere};
use crate::metrics;
use addresses::Addresses;
use forward::Client;
use signature::Keyring;

pub use presence::Presence;

/// The way from this edge to the others.
pub struct Cluster {
    edges: Arc<dyn Edges>,
    addresses: Addresses,
    keyring: Keyring,
    client: Client,
    host: Host,
}

/// What forwarding needs of the edge that it is done on.
#[derive(Debug, Clone)]
pub struct Host {
    /// Where tasks are spawned that a shutdown waits for.
    pub tasks: TaskTracker,
    /// Cancelled when this edge stops.
    pub drain: CancellationToken,
    /// How long an answer of another edge may take: longer than it holds a request of a client that polls.
    pub answer_timeout: Duration,
    /// How long a connection may acknowledge nothing before it counts as dead.
    pub peer_timeout: Duration,
}

impl Cluster {
    /// An edge that knows the others through `edges`. Until it is told a secret it forwards nothing.
    pub fn new(edges: Arc<dyn Edges>, host: Host) -> Self {
        Self {
            addresses: Addresses::new(Arc::clone(&edges)),
            edges,
            keyring: Keyring::default(),
            client: Client::new(),
            host,
        }
    }

    /// Makes this edge, which listens on `listening`, known to the others for as long as it runs.
    ///
    /// The error is that of a secret that cannot be read.
    pub async fn join(
        self: &Arc<Self>,
        edge: EdgeId,
        listening: SocketAddr,
        config: &Config,
    ) -> Result<(), String> {
        let secret = config.cluster.read_secret()?;
        let redis = config.redis.url.as_ref().and_then(RedisUrl::host_and_port);
        let address = match &config.cluster.advertise {
            Some(address) => address.clone(),
            None => address::announced(listening, redis.as_deref()).await.to_string(),
        };
        let presence = Presence {
            edge,
            address,
            secret: secret.map(|secret| secret.expose().as_bytes().to_vec()),
        };
        self.host.tasks.spawn(presence.keep(Arc::clone(self)));
        Ok(())
    }

    /// The secret that all edges share from now on.
    pub fn set_secret(&self, secret: &[u8]) {
        self.keyring.set(secret);
    }

    /// Who brought a request.
    pub fn brought(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Brought {
        self.keyring.check(method, uri, headers, shared::time::now_ms())
    }

    async fn take(&self, edge: EdgeId, request: Request, upgrade: bool) -> Option<Response> {
        let signature = self
            .keyring
            .sign(request.method(), request.uri(), shared::time::now_ms())?;
        let address = self.addresses.of(edge).await?;
        let response = match upgrade {
            true => tunnel::open(&address, request, signature, &self.host).await,
            false => {
                let timeout = self.host.answer_timeout;
                self.client.send(&address, request, signature, timeout).await
            }
        };
        match response {
            Ok(response) => Some(response),
            Err(error) => {
                tracing::debug!(%edge, address, %error, "the edge of a session does not answer");
                self.addresses.forget(edge);
                None
            }
        }
    }
}

impl Elsewhere for Cluster {
    fn brought(&self, request: &Request) -> Brought {
        Self::brought(self, request.method(), request.uri(), request.headers())
    }

    fn forward(&self, edge: EdgeId, request: Request, upgrade: bool) -> BoxFuture<'_, Option<Response>> {
        let taken = async move {
            let response = self.take(edge, request, upgrade).await;
            metrics::forwarded(upgrade, response.is_some());
            response
        };
        taken.boxed()
    }
}

/// Why a request was not answered by another edge.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error("it cannot be reached: {0}")]
    Unreachable(std::io::Error),
    #[error("it did not answer in time")]
    Late,
    #[error("the connection broke: {0}")]
    Broken(#[from] hyper::Error),
    #[error("the connection broke: {0}")]
    Lost(#[from] hyper_util::client::legacy::Error),
    #[error("the request cannot be forwarded: {0}")]
    Malformed(#[from] axum::http::Error),
}
