//! HTTP: `/v1/streams/{name}`, `/v1/tail`, and what operators ask (`/healthz`, `/readyz`, `/metrics`).

use axum::Router;

use crate::app::AppState;

pub mod query;
pub mod tail;

/// The routes of the HTTP interface.
pub fn routes() -> Router<AppState> {
    Router::new()
}
