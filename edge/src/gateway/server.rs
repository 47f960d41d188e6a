//! The application that runs on Socket.IO: it knows the namespaces and makes a socket for each client in one.

use std::sync::Arc;

use shared::limits::SIO_EVENT_BYTES_MAX;
use shared::{SessionId, time};
use tracing::error;

use super::rules::Namespaces;
use super::session::{Ids, Newcomer, Now};
use super::settings::SessionLimits;
use super::socket::{Edge, Socket};
use crate::app::AppState;
use crate::engineio::Opened;
use crate::random::secret;
use crate::rate::Client;
use crate::socketio::{Application, Connect, Limits};
use crate::trace::RequestTrace;

/// The streams of an edge as a Socket.IO application.
pub struct Gateway {
    state: AppState,
    namespaces: Namespaces,
    limits: Arc<SessionLimits>,
    edge: Arc<Edge>,
}

/// What is remembered of the first request of a client.
#[derive(Debug)]
pub struct Visitor {
    pub(super) trace: Arc<RequestTrace>,
    /// Who publishes, where the rate of publishes is limited.
    pub(super) publisher: Option<Client>,
}

impl Gateway {
    /// The application that the configuration describes. Of one that was not validated and is wrong, no namespaces
    /// are left.
    pub fn new(state: AppState) -> Self {
        let namespaces = Namespaces::compile(&state.config.socketio).unwrap_or_default();
        let limits = SessionLimits::new(&state.config);
        Self {
            edge: Arc::new(Edge::new(&state, limits.subscriptions_max)),
            limits: Arc::new(limits),
            namespaces,
            state,
        }
    }
}

impl Application for Gateway {
    type Socket = Socket;
    type Handshake = Visitor;

    fn handshake(&self, opened: &Opened<'_>) -> Visitor {
        let proxies = &self.state.config.rate.trusted_proxies;
        let client = opened
            .peer
            .map(|peer| Client::of(peer.ip(), opened.headers, proxies));
        Visitor {
            trace: Arc::new(RequestTrace::of(opened.headers)),
            publisher: client.filter(|_| self.state.rate.limits_publishes()),
        }
    }

    fn limits(&self) -> Limits {
        let config = &self.state.config;
        Limits {
            connect_timeout: config.socketio.connect_timeout,
            // An event that is too large for the log is refused in its acknowledgement, up to this.
            event_bytes_max: SIO_EVENT_BYTES_MAX.max(2 * config.limits.event_bytes_max),
            ..Limits::default()
        }
    }

    fn connect(&self, connect: Connect<'_, Visitor>) -> Option<Socket> {
        let rules = self.namespaces.find(connect.namespace.as_str())?;
        let newcomer = Newcomer {
            rules: Arc::clone(rules),
            limits: Arc::clone(&self.limits),
            trace: Arc::clone(&connect.handshake.trace),
            namespace: connect.namespace.clone(),
            auth: connect.auth.as_deref(),
        };
        let Some(ids) = fresh_ids() else {
            error!("the system has no random numbers to give");
            return Some(Socket::closed(&self.edge));
        };
        let publisher = connect.handshake.publisher;
        Some(Socket::new(newcomer, ids, publisher, &self.edge))
    }
}

/// 120 random bits for what is told to others, 144 for what must not be guessed.
fn fresh_ids() -> Option<Ids> {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
    Some(Ids {
        sid: BASE64URL.encode(secret::<15>()?).into_boxed_str(),
        pid: SessionId::from_random(secret()?),
    })
}

impl Now {
    /// The time.
    pub(super) fn get() -> Self {
        Self {
            instant: std::time::Instant::now(),
            ms: time::now_ms(),
        }
    }
}
