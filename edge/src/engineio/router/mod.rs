//! The requests of Engine.IO: which are let in, and what they are answered.
//!
//! The order of the checks is that of the reference server: transport, origin, session, transport of the session,
//! method, WebSocket without upgrade, admission, version.

mod handshake;
mod query;
mod requests;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, header};
use axum::response::Response;
use axum::routing::any;
use shared::EdgeId;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::elsewhere::{Brought, Elsewhere};
use super::mailbox::{Mailbox, TransportKind};
use super::refusal::Refusal;
use super::registry::Registry;
use super::sid::Sid;
use super::{Service, Settings, cors};
use crate::origins::Origins;
use crate::server::Peer;
use crate::websocket::handshake::is_asked_for;
use query::Query;

/// What the sessions share with the edge that they live on.
pub struct Surroundings {
    /// The name of this edge, with which its session IDs begin.
    pub edge: EdgeId,
    /// Which web pages may come.
    pub origins: Arc<Origins>,
    /// Where tasks are spawned that a shutdown waits for.
    pub tasks: TaskTracker,
    /// Cancelled when the edge stops.
    pub drain: CancellationToken,
    /// Who is asked about sessions of other edges; `None`: there are no others.
    pub elsewhere: Option<Arc<dyn Elsewhere>>,
}

struct Engine<S> {
    settings: Arc<Settings>,
    service: S,
    registry: Arc<Registry>,
    surroundings: Surroundings,
}

/// The routes of Engine.IO, on which `service` runs. To be called within the runtime that serves them.
pub fn router<S: Service>(settings: Settings, service: S, surroundings: Surroundings) -> Router {
    let registry = Registry::new(settings.sessions_max, surroundings.tasks.clone());
    let engine = Arc::new(Engine {
        settings: Arc::new(settings),
        service,
        registry: Arc::new(registry),
        surroundings,
    });
    let (registry, drain) = (Arc::clone(&engine.registry), engine.surroundings.drain.clone());
    engine.surroundings.tasks.spawn(async move {
        drain.cancelled().await;
        registry.drain();
    });
    let path = engine.settings.path.clone();
    let mut router = Router::new().route(&path, any(serve::<S>));
    let bare = path.trim_end_matches('/');
    if !bare.is_empty() && bare != path {
        router = router.route(bare, any(serve::<S>));
    }
    router.with_state(engine)
}

async fn serve<S: Service>(State(engine): State<Arc<Engine<S>>>, request: Request) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let upgrade = is_asked_for(request.version(), request.headers());
    let mut response = match cors::is_preflight(request.method(), request.headers()) {
        true => cors::preflight(request.headers()),
        false => match engine.admit(request, upgrade).await {
            Ok(response) => response,
            Err(refusal) => refusal.response(upgrade),
        },
    };
    cors::allow(&engine.surroundings.origins, origin.as_ref(), &mut response);
    response
}

impl<S: Service> Engine<S> {
    async fn admit(self: &Arc<Self>, request: Request, upgrade: bool) -> Result<Response, Refusal> {
        // A client that polls and takes nothing of its answer is given up as one on a WebSocket is.
        if let Some(peer) = request.extensions().get::<Peer>() {
            peer.set_write_patience(self.settings.write_timeout);
        }
        let query = Query::parse(request.uri().query().unwrap_or_default());
        let transport = self.transport(&query.transport)?;
        if self.surroundings.origins.check(request.headers()).is_err() {
            return Err(Refusal::Forbidden("Forbidden".into()));
        }
        if query.sid.is_empty() {
            self.may_begin(&request, transport, upgrade)?;
            let version = query.version == "4";
            return self.begin(request, transport, version).await;
        }
        let elsewhere = self.surroundings.elsewhere.as_deref();
        let brought = elsewhere.map_or(Brought::ByClient, |elsewhere| elsewhere.brought(&request));
        if brought == Brought::Forged {
            return Err(Refusal::Forbidden("Forbidden".into()));
        }
        let sid = Sid::parse(&query.sid).ok_or(Refusal::Sid)?;
        match sid.edge() {
            Some(edge) if edge == self.surroundings.edge => {
                let mailbox = self.registry.find(&sid).ok_or(Refusal::Sid)?;
                self.go_on(&mailbox, request, transport, upgrade).await
            }
            Some(edge) if brought == Brought::ByClient => self.ask_elsewhere(edge, request, upgrade).await,
            // An edge that is asked for a session that it does not have does not ask on.
            _ => Err(Refusal::Sid),
        }
    }

    fn transport(&self, name: &str) -> Result<TransportKind, Refusal> {
        let allowed = self.settings.transports;
        match name {
            "polling" if allowed.polling => Ok(TransportKind::Polling),
            "websocket" if allowed.websocket => Ok(TransportKind::WebSocket),
            _ => Err(Refusal::Transport),
        }
    }

    /// Checks a request without a session.
    fn may_begin(&self, request: &Request, transport: TransportKind, upgrade: bool) -> Result<(), Refusal> {
        if request.method() != Method::GET {
            return Err(Refusal::Method);
        }
        match (transport, upgrade) {
            (TransportKind::Polling, false) | (TransportKind::WebSocket, true) => Ok(()),
            _ => Err(Refusal::Request),
        }
    }

    /// Serves a request of a session of this edge.
    async fn go_on(
        self: &Arc<Self>,
        mailbox: &Arc<Mailbox>,
        request: Request,
        transport: TransportKind,
        upgrade: bool,
    ) -> Result<Response, Refusal> {
        match (transport, upgrade) {
            (TransportKind::WebSocket, true) => self.change(mailbox, request),
            (TransportKind::Polling, false) if mailbox.transport() == TransportKind::Polling => {
                match *request.method() {
                    Method::GET => requests::poll(mailbox).await,
                    Method::POST => requests::post(&self.settings, mailbox, request).await,
                    _ => Err(Refusal::Request),
                }
            }
            _ => Err(Refusal::Request),
        }
    }

    /// Leaves a request to the edge that has the session.
    async fn ask_elsewhere(
        &self,
        edge: EdgeId,
        request: Request,
        upgrade: bool,
    ) -> Result<Response, Refusal> {
        let elsewhere = self.surroundings.elsewhere.as_ref().ok_or(Refusal::Sid)?;
        match (request.method(), upgrade) {
            (&Method::GET, _) | (&Method::POST, false) => {}
            _ => return Err(Refusal::Request),
        }
        elsewhere
            .forward(edge, request, upgrade)
            .await
            .ok_or(Refusal::Sid)
    }
}
