//! What all requests share, and the router that leads them to their handlers.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use broker::Log;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::error::{ApiError, Code};
use crate::{http, ws};

/// What all requests share. Cheap to clone.
#[derive(Clone)]
pub struct AppState {
    /// The streams.
    pub log: Arc<dyn Log>,
    /// Everything an operator may set.
    pub config: Arc<Config>,
    /// Cancelled when the edge stops: subscribers must come back to another one, uploads end after what was read.
    pub drain: CancellationToken,
    /// Tasks that outlive the handler which started them (an upgraded WebSocket): spawn them here, so that a
    /// shutdown waits for them.
    pub tasks: TaskTracker,
}

impl AppState {
    /// The state of an edge that has just started.
    pub fn new(config: Config, log: Arc<dyn Log>) -> Self {
        Self {
            log,
            config: Arc::new(config),
            drain: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }
}

/// Every path this edge serves; unknown paths and methods are answered with a JSON error.
pub fn router(state: AppState) -> Router {
    Router::new()
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
        .with_state(state)
}
