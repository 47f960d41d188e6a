//! Socket.IO events and the log: built-in events, declared routes, recovery. The interface is documented in
//! `docs/socketio.md`.
//!
//! Pure, each with its tests:
//! * [`rules`], [`template`]: what the configuration says; [`settings`]: what it bounds.
//! * [`arguments`], [`claim`], [`request`]: what clients send; [`answer`], [`delivery`]: what they get.
//! * [`record`], [`offset`], [`subscriptions`]: what a session is recovered from.
//! * [`session`]: the protocol of one socket. It decides.
//!
//! With I/O: [`server`] makes the sockets; [`socket`] is one: it moves events between client, session and log, with
//! [`reader`] for what it follows; [`gauges`] counts.

mod answer;
mod arguments;
mod claim;
mod delivery;
mod gauges;
mod offset;
mod reader;
mod record;
mod request;
mod rules;
mod server;
mod session;
mod settings;
mod socket;
mod subscriptions;
mod template;

use std::sync::Arc;

use axum::Router;
use shared::limits::ENGINE_CLOSE_TIMEOUT;

use crate::app::AppState;
use crate::engineio::{self, Settings, Surroundings, Transports};
use crate::http;
use crate::socketio::Server;

#[cfg(feature = "measuring")]
pub(crate) use delivery::entry as event_of_entry;
pub use rules::Namespaces;
pub use server::{Gateway, Visitor};
pub use socket::Socket;
pub use template::{Template, TemplateError};

/// The routes of Socket.IO, as far as they are configured.
pub fn routes(state: AppState) -> Router {
    let (config, options) = (&state.config, &state.config.socketio);
    let settings = Settings {
        path: options.path.clone(),
        ping_interval: options.ping_interval,
        ping_timeout: options.ping_timeout,
        max_payload: options.payload_bytes_max,
        upgrade_timeout: options.upgrade_timeout,
        write_timeout: options.write_timeout,
        body_timeout: config.limits.body_timeout,
        close_timeout: ENGINE_CLOSE_TIMEOUT.min(config.drain.deadline / 4),
        drain_timeout: config.drain.deadline / 4 * 3,
        sessions_max: config.limits.connections_max,
        transports: Transports {
            polling: true,
            websocket: true,
        },
    };
    let surroundings = Surroundings {
        edge: state.edge,
        origins: Arc::clone(&state.origins),
        tasks: state.tasks.clone(),
        drain: state.drain.clone(),
        elsewhere: Some(Arc::clone(&state.cluster) as _),
    };
    let server = Server::new(Arc::new(Gateway::new(state.clone())));
    let observed = axum::middleware::from_fn_with_state(state, http::observe_engine);
    engineio::router(settings, server, surroundings).layer(observed)
}
