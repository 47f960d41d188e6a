//! WebSocket: `/v1/ws`. The frames are documented in `docs/websocket.md`.
//!
//! * [`handshake`]: from the headers of a request to what is agreed.
//! * [`fields`], [`request`]: frames from the client; [`reply`], [`page`]: frames to the client; [`format`]: their
//!   two encodings; [`close`]: the close codes.
//! * [`session`]: the protocol, without I/O. It decides.
//! * [`connection`]: the one task of a socket. It moves messages between [`socket`], session and log;
//!   [`reader`] and `crate::appends` are what it has under way there, [`liveness`] tells when its peer is gone.
//!
//! It keeps no state beyond a connection: what a client needs after a reconnect is in the cursors it holds.

mod close;
mod connection;
mod fields;
mod format;
mod gauges;
mod handshake;
mod liveness;
mod page;
mod reader;
mod reply;
mod request;
mod session;
mod settings;
mod socket;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use hyper::upgrade::OnUpgrade;
use tracing::{Instrument as _, debug, error, info_span};

use crate::app::AppState;
use crate::error::{ApiError, Code};
use crate::metrics;
use crate::rate::Client;
use crate::server::{self, Peer};
use crate::trace::RequestTrace;
use crate::websocket;

use close::CloseCode;
use connection::Connection;
use format::Format;
use handshake::Agreement;

#[cfg(feature = "measuring")]
pub(crate) use {format::Format as FrameFormat, reply::event as event_frame};

/// The routes of the WebSocket transport.
pub fn routes() -> Router<AppState> {
    Router::new().route("/v1/ws", any(open))
}

/// Answers the handshake and leaves the socket to a task of its own.
async fn open(State(state): State<AppState>, mut request: Request) -> Response {
    match agree(&state, &request) {
        Ok(agreement) => {
            // Nothing else of the request is kept: a header would hold on to the whole buffer it was read into.
            let upgrade = hyper::upgrade::on(&mut request);
            let peer = request.extensions().get::<Peer>().cloned();
            let known = request.extensions().get::<RequestTrace>().copied();
            let trace = known.unwrap_or_else(|| RequestTrace::of(request.headers()));
            let client = request.extensions().get::<Client>().copied();
            drop(request);
            let socket = serve(upgrade, agreement.format, (peer, client), trace, state.clone());
            state.tasks.spawn(socket);
            switching_protocols(agreement)
        }
        Err(error) => refused(error),
    }
}

fn agree(state: &AppState, request: &Request) -> Result<Agreement, ApiError> {
    let agreement = handshake::agree(request.method(), request.version(), request.headers())?;
    if state.drain.is_cancelled() {
        let problem = "this edge is going away; connect to another one";
        return Err(ApiError::new(Code::Closing, problem));
    }
    Ok(agreement)
}

fn switching_protocols(agreement: Agreement) -> Response {
    let mut response = websocket::handshake::switching_protocols(agreement.accept);
    if agreement.named {
        let name = HeaderValue::from_static(agreement.format.subprotocol());
        response
            .headers_mut()
            .insert(header::SEC_WEBSOCKET_PROTOCOL, name);
    }
    response
}

/// A refusal also says what would be accepted (RFC 6455, section 4.4; RFC 9110, section 15.5.22).
fn refused(error: ApiError) -> Response {
    let code = error.code();
    let mut response = error.into_response();
    let headers = response.headers_mut();
    match code {
        Code::UpgradeRequired => {
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(
                header::SEC_WEBSOCKET_VERSION,
                HeaderValue::from_static(websocket::handshake::VERSION),
            );
        }
        Code::MethodNotAllowed => {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET"));
        }
        _ => {}
    }
    response
}

async fn serve(
    upgrade: OnUpgrade,
    format: Format,
    (peer, client): (Option<Peer>, Option<Client>),
    trace: RequestTrace,
    state: AppState,
) {
    let span = info_span!(
        "websocket",
        connection = peer.as_ref().map(|peer| tracing::field::display(peer.connection)),
        peer = peer.as_ref().map(|peer| tracing::field::display(peer.address)),
        trace = %trace.id(),
    );
    async {
        let upgraded = match upgrade.await {
            Ok(upgraded) => upgraded,
            Err(error) => return debug!(%error, "the connection went away during the handshake"),
        };
        let Some((stream, read_ahead)) = server::into_tcp(upgraded) else {
            return error!("the server runs on another kind of connection than this code");
        };
        debug!(?format, "open");
        let connection = Connection::new(stream, read_ahead, format, trace, client, &state);
        metrics::websocket_opened();
        let end = connection.run().await;
        let name = end.map_or("lost", CloseCode::name);
        metrics::websocket_closed(name);
        debug!(
            end = name,
            comes_back = end.is_none_or(CloseCode::retry),
            "closed"
        );
    }
    .instrument(span)
    .await;
    // The connection's place among those that this edge may have is free again.
    drop(peer);
}
