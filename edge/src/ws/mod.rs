//! WebSocket: `/v1/ws`.

use axum::Router;

use crate::app::AppState;

/// The routes of the WebSocket transport.
pub fn routes() -> Router<AppState> {
    Router::new()
}
