//! Sessions that another edge has.

use axum::extract::Request;
use axum::response::Response;
use futures_util::future::BoxFuture;
use shared::EdgeId;

/// Takes requests to the edges that have their sessions.
pub trait Elsewhere: Send + Sync + 'static {
    /// Has a request answered by its edge. `None`: that edge is gone or does not answer, or the request was brought
    /// by another edge already.
    ///
    /// `upgrade`: it asks for a WebSocket, and the response to it may open one.
    fn forward(&self, edge: EdgeId, request: Request, upgrade: bool) -> BoxFuture<'_, Option<Response>>;
}
