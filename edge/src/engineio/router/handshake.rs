//! How a session begins, and how it changes to a WebSocket.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use hyper::upgrade::OnUpgrade;
use tracing::debug;

use super::Engine;
use crate::engineio::mailbox::{Connection, Letter, Mailbox, TransportKind};
use crate::engineio::packet::OPEN;
use crate::engineio::refusal::Refusal;
use crate::engineio::session::Session;
use crate::engineio::sid::{RANDOM_BYTES, Sid};
use crate::engineio::{Ended, Opened, Protocol as _, Service, answer};
use crate::random;
use crate::server::{self, Peer};
use crate::websocket::Socket;
use crate::websocket::handshake::{self, Accept};

impl<S: Service> Engine<S> {
    /// Begins a session, if the protocol on top lets the client in.
    pub(super) async fn begin(
        self: &Arc<Self>,
        request: Request,
        transport: TransportKind,
        version: bool,
    ) -> Result<Response, Refusal> {
        let peer = request.extensions().get::<Peer>().cloned();
        let opened = Opened {
            query: request.uri().query().unwrap_or_default(),
            headers: request.headers(),
            peer: peer.as_ref().map(|peer| peer.address),
        };
        self.service.admit(&opened).map_err(Refusal::Forbidden)?;
        if !version {
            return Err(Refusal::Version);
        }
        let accept = match transport {
            TransportKind::Polling => None,
            TransportKind::WebSocket => Some(accept(&request)?),
        };
        // A system without randomness cannot have sessions.
        let random = random::secret::<RANDOM_BYTES>().ok_or(Refusal::Request)?;
        let place = self.registry.enter(Sid::new(self.surroundings.edge, random))?;
        let open = self.open_packet(place.sid(), transport);
        let protocol = self.service.open(&opened);
        debug!(?transport, sid = ?place.sid(), "session opened");
        let settings = Arc::clone(&self.settings);
        let Some(accept) = accept else {
            let session = Session::polling(settings, place, protocol);
            self.surroundings.tasks.spawn(session.run());
            return Ok(answer::text(open));
        };
        place.mailbox().set_on_websocket();
        let upgrade = on_upgrade(request);
        let tasks = self.surroundings.tasks.clone();
        self.surroundings.tasks.spawn(async move {
            let mut protocol = protocol;
            match connect(upgrade, peer, settings.max_payload).await {
                Some(connection) => {
                    let session = Session::websocket(settings, place, protocol, connection, open.as_bytes());
                    // A task of its own, which keeps nothing of this one.
                    tasks.spawn(session.run());
                }
                None => protocol.ended(Ended::Lost),
            }
        });
        Ok(handshake::switching_protocols(accept))
    }

    /// Opens a WebSocket for a session that polls.
    pub(super) fn change(
        self: &Arc<Self>,
        mailbox: &Arc<Mailbox>,
        request: Request,
    ) -> Result<Response, Refusal> {
        let accept = accept(&request)?;
        let peer = request.extensions().get::<Peer>().cloned();
        let upgrade = on_upgrade(request);
        let (mailbox, settings) = (Arc::clone(mailbox), Arc::clone(&self.settings));
        self.surroundings.tasks.spawn(async move {
            if let Some(connection) = connect(upgrade, peer, settings.max_payload).await {
                // If the session is gone by now, so is the WebSocket.
                let _ = mailbox.put(Letter::Opened(Box::new(connection)));
            }
        });
        Ok(handshake::switching_protocols(accept))
    }

    fn open_packet(&self, sid: &Sid, transport: TransportKind) -> String {
        let upgrades = match transport {
            TransportKind::Polling if self.settings.transports.websocket => "\"websocket\"",
            _ => "",
        };
        format!(
            "{}{{\"sid\":\"{}\",\"upgrades\":[{upgrades}],\"pingInterval\":{},\"pingTimeout\":{},\"maxPayload\":{}}}",
            char::from(OPEN),
            sid.as_str(),
            whole_ms(self.settings.ping_interval),
            whole_ms(self.settings.ping_timeout),
            self.settings.max_payload,
        )
    }
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn accept(request: &Request) -> Result<Accept, Refusal> {
    handshake::accept(request.method(), request.version(), request.headers()).map_err(|_| Refusal::Request)
}

/// Nothing else of the request is kept: a header would hold on to the whole buffer it was read into.
fn on_upgrade(mut request: Request) -> OnUpgrade {
    hyper::upgrade::on(&mut request)
}

async fn connect(upgrade: OnUpgrade, peer: Option<Peer>, message_bytes_max: usize) -> Option<Connection> {
    let upgraded = match upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => {
            debug!(%error, "the connection went away during the handshake");
            return None;
        }
    };
    let Some((stream, read_ahead)) = server::into_tcp(upgraded) else {
        tracing::error!("the server runs on another kind of connection than this code");
        return None;
    };
    let socket = Socket::new(stream, read_ahead, message_bytes_max);
    Some(Connection { socket, peer })
}
