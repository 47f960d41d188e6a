//! Sessions that another edge has.

use axum::extract::Request;
use axum::response::Response;
use futures_util::future::BoxFuture;
use shared::EdgeId;

/// Who brought a request to this edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Brought {
    /// A client did.
    ByClient,
    /// Another edge did, because it does not have the session.
    ByEdge,
    /// It says that another edge did, which is not true.
    Forged,
}

/// Takes requests to the edges that have their sessions.
pub trait Elsewhere: Send + Sync + 'static {
    /// Who brought a request.
    fn brought(&self, request: &Request) -> Brought;

    /// Has a request answered by its edge. `None`: that edge is gone or does not answer.
    ///
    /// `upgrade`: it asks for a WebSocket, and the response to it may open one.
    fn forward(&self, edge: EdgeId, request: Request, upgrade: bool) -> BoxFuture<'_, Option<Response>>;
}
