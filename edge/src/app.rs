//! What all requests share, and the router that leads them to their handlers.

use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use broker::Log;
use shared::limits::CLUSTER_ANSWER_SLACK;
use shared::{EdgeId, StreamName};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cluster::{Cluster, Host};
use crate::config::Config;
use crate::error::{ApiError, Code};
use crate::origins::Origins;
use crate::rate::RateLimits;
use crate::{gateway, http, metrics, ws};

/// What all requests share. Each of them clones it, several times: that is one count.
#[derive(Clone)]
pub struct AppState(Arc<Parts>);

/// What an [`AppState`] consists of.
pub struct Parts {
    /// The name of this edge among those that share the log.
    pub edge: EdgeId,
    /// The way to the other edges.
    pub cluster: Arc<Cluster>,
    /// The streams.
    pub log: Arc<dyn Log>,
    /// Everything an operator may set.
    pub config: Config,
    /// Cancelled when the edge stops: subscribers must come back to another one, uploads end after what was read.
    pub drain: CancellationToken,
    /// Tasks that outlive the handler which started them (an upgraded WebSocket): spawn them here, so that a
    /// shutdown waits for them.
    pub tasks: TaskTracker,
    /// How much one client may ask for.
    pub rate: Arc<RateLimits>,
    /// Which web pages may use this edge.
    pub origins: Arc<Origins>,
}

impl Deref for AppState {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl AppState {
    /// The state of an edge that has just started.
    ///
    /// Origins in the configuration that are none (it was not validated) count as not allowed.
    pub fn new(config: Config, log: Arc<dyn Log>) -> Self {
        metrics::install();
        let origins = Origins::parse(&config.cors.allowed_origins).unwrap_or_else(|_| Origins::none());
        let (drain, tasks) = (CancellationToken::new(), TaskTracker::new());
        let sio = &config.socketio;
        let host = Host {
            tasks: tasks.clone(),
            drain: drain.clone(),
            answer_timeout: sio.ping_interval + sio.ping_timeout + CLUSTER_ANSWER_SLACK,
            peer_timeout: config.limits.peer_timeout,
        };
        Self(Arc::new(Parts {
            cluster: Arc::new(Cluster::new(Arc::clone(log.edges()), host)),
            // It is no secret, it only has to be another one than that of any other edge.
            edge: EdgeId::from_random(std::array::from_fn(|_| fastrand::u8(..))),
            log,
            rate: Arc::new(RateLimits::new(&config.rate)),
            origins: Arc::new(origins),
            config,
            drain,
            tasks,
        }))
    }
}

impl AppState {
    /// Reads a stream name, which may be bounded more tightly here than in general.
    pub fn stream_name(&self, text: &str) -> Result<StreamName, ApiError> {
        let name: StreamName = text.parse()?;
        let max = self.config.limits.name_bytes_max;
        match text.len() <= max {
            true => Ok(name),
            false => Err(ApiError::new(
                Code::InvalidStream,
                format!("a stream name has at most {max} bytes here"),
            )),
        }
    }
}

/// Every path this edge serves; unknown paths and methods are answered with a JSON error. To be called within the
/// runtime that serves them.
pub fn router(state: AppState) -> Router {
    let routes = Router::new()
        .merge(http::routes())
        .merge(ws::routes())
        .fallback(|request: Request| async move {
            ApiError::new(
                Code::NotFound,
                format!("there is nothing at {}", request.uri().path()),
            )
        })
        .method_not_allowed_fallback(|request: Request| async move {
            let message = format!("{} is not possible at {}", request.method(), request.uri().path());
            ApiError::new(Code::MethodNotAllowed, message)
        })
        .layer(axum::middleware::from_fn_with_state(state.clone(), http::observe))
        // Outermost, so that a page can read refusals too.
        .layer(state.origins.layer())
        .with_state(state.clone());
    match state.config.socketio.enabled {
        true => routes.merge(gateway::routes(state)),
        false => routes,
    }
}
