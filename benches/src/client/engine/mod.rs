//! The client's side of Engine.IO v4: a session over polling, over WebSocket, or over the one and then the other.
//!
//! It does what `engine.io-client` does, also where that is odd: it ends a session over polling with a POST even after
//! an error, and it stays silent for ever on a transport that it paused for an upgrade which then failed.

mod http;
mod packet;
mod polling;
mod probe;
mod websocket;

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, Sleep, sleep_until};

pub use packet::Message;
pub(crate) use packet::Packet;
use polling::Polling;
use probe::{Probe, Progress};
use websocket::WebSocket;

use super::{Options, Reason, Transports, invalid};

/// A future that is kept.
pub(super) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Messages of a WebSocket that are handed on together.
const BATCH_MAX: usize = 64;

/// What the server says first.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Handshake {
    sid: String,
    upgrades: Vec<String>,
    ping_interval: u64,
    ping_timeout: u64,
    #[serde(rename = "maxPayload")]
    payload_bytes_max: usize,
}

impl Handshake {
    fn parse(json: &[u8]) -> io::Result<Self> {
        serde_json::from_slice(json).map_err(|_| invalid("handshake"))
    }
}

/// Path and query of a request.
fn target(options: &Options, transport: &str, sid: Option<&str>) -> String {
    let path = &options.path;
    match sid {
        Some(sid) => format!("{path}?EIO=4&transport={transport}&sid={sid}"),
        None => format!("{path}?EIO=4&transport={transport}"),
    }
}

/// What arrived at once.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// In order.
    pub(super) messages: Vec<Message>,
    /// Set if the session has ended: behind these messages, but before anybody has looked at them.
    pub(super) closed: Option<Reason>,
}

enum Transport {
    Polling(Polling),
    WebSocket(WebSocket),
}

/// A session.
pub(super) struct Engine {
    options: Arc<Options>,
    handshake: Handshake,
    transport: Transport,
    /// What waits to be sent.
    unsent: VecDeque<Packet>,
    probe: Option<Probe>,
    /// Nothing is sent as long as the transport changes.
    upgrading: bool,
    /// The server has to have pinged by then.
    ping_deadline: Pin<Box<Sleep>>,
    /// Whether the server itself has ended the session.
    ended_by_server: bool,
    /// The session has ended, and that is still to be told.
    failed: Option<Reason>,
}

impl Engine {
    /// Opens a session; and what came with its first packet.
    pub(super) async fn open(options: Arc<Options>) -> io::Result<(Self, Batch)> {
        let (transport, handshake, packets) = match options.transports {
            Transports::WebSocket => {
                let (socket, handshake) = WebSocket::open(&options).await?;
                (Transport::WebSocket(socket), handshake, Vec::new())
            }
            Transports::Polling | Transports::Upgrade => {
                let (polling, handshake, packets) = Polling::open(&options).await?;
                (Transport::Polling(polling), handshake, packets)
            }
        };
        let upgrade = options.transports == Transports::Upgrade
            && handshake.upgrades.iter().any(|name| name == "websocket");
        let probe = upgrade.then(|| Probe::start(options.clone(), handshake.sid.clone()));
        let mut engine = Self {
            options,
            handshake,
            transport,
            unsent: VecDeque::new(),
            probe,
            upgrading: false,
            ping_deadline: Box::pin(sleep_until(Instant::now())),
            ended_by_server: false,
            failed: None,
        };
        engine.expect_ping();
        let mut batch = Batch::default();
        engine.take(packets, &mut batch);
        Ok((engine, batch))
    }

    /// Whether it goes over WebSocket now.
    pub(super) fn is_websocket(&self) -> bool {
        matches!(self.transport, Transport::WebSocket(_))
    }

    /// Whether the server should have pinged by now.
    pub(super) fn has_ping_expired(&self) -> bool {
        Instant::now() > self.ping_deadline.deadline()
    }

    /// Has a message sent by the next [`Engine::poll`].
    pub(super) fn send(&mut self, message: Message) {
        self.unsent.push_back(Packet::Message(message));
    }

    /// Sends, and receives what arrives next. Not to be called again once the batch says that the session has ended.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Batch> {
        let mut batch = Batch::default();
        if self.failed.is_none() && self.ping_deadline.as_mut().poll(cx).is_ready() {
            self.failed = Some(Reason::PingTimeout);
        }
        if self.failed.is_none() {
            self.advance(cx, &mut batch);
        }
        // What arrived before something failed is handled before that is known. Only the end that the server sends
        // itself comes together with messages.
        if batch.closed.is_none() && batch.messages.is_empty() {
            batch.closed = self.failed.take();
        }
        if batch.closed.is_some() || !batch.messages.is_empty() {
            return Poll::Ready(batch);
        }
        Poll::Pending
    }

    fn advance(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        if let Some(probe) = &mut self.probe {
            let paused = matches!(&self.transport, Transport::Polling(polling) if polling.is_paused());
            match probe.poll(cx, paused) {
                Progress::Pending => {}
                Progress::Answered => self.pause(),
                Progress::Failed => self.probe = None,
                Progress::Ready => self.change_transport(),
            }
        }
        self.flush(cx);
        if self.failed.is_none() {
            self.receive(cx, batch);
        }
        if self.failed.is_none() && batch.closed.is_none() {
            self.flush(cx);
        }
        if self.is_paused() {
            cx.waker().wake_by_ref();
        }
    }

    /// Whether the probe can go on at once.
    fn is_paused(&self) -> bool {
        let paused = matches!(&self.transport, Transport::Polling(polling) if polling.is_paused());
        paused && self.probe.is_some()
    }

    fn receive(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        while batch.closed.is_none() && batch.messages.len() < BATCH_MAX {
            let received = match &mut self.transport {
                Transport::WebSocket(socket) => socket.poll_receive(cx).map_ok(|packet| vec![packet]),
                // What comes in two answers is not handled at once.
                Transport::Polling(_) if !batch.messages.is_empty() => return,
                Transport::Polling(polling) => polling.poll_receive(cx),
            };
            match received {
                Poll::Pending => return,
                Poll::Ready(Ok(packets)) => self.take(packets, batch),
                Poll::Ready(Err(error)) => {
                    self.failed = Some(Reason::Transport(error.to_string()));
                    return;
                }
            }
        }
    }

    fn flush(&mut self, cx: &mut Context<'_>) {
        let sent = match &mut self.transport {
            // What was posted before comes to its end.
            Transport::Polling(polling) if self.upgrading => polling.poll_send(cx, &mut VecDeque::new()),
            Transport::Polling(polling) => polling.poll_send(cx, &mut self.unsent),
            Transport::WebSocket(socket) => socket.poll_send(cx, &mut self.unsent),
        };
        if let Poll::Ready(Err(error)) = sent {
            self.failed = Some(Reason::Transport(error.to_string()));
        }
    }

    fn take(&mut self, packets: Vec<Packet>, batch: &mut Batch) {
        for packet in packets {
            match packet {
                Packet::Message(message) => batch.messages.push(message),
                Packet::Ping(_) => {
                    self.unsent.push_back(Packet::Pong(bytes::Bytes::new()));
                    self.expect_ping();
                }
                Packet::Close => {
                    self.ended_by_server = true;
                    batch.closed = Some(Reason::Transport("closed by the server".to_owned()));
                    return;
                }
                Packet::Open(_) | Packet::Pong(_) | Packet::Upgrade | Packet::Noop => {}
            }
        }
    }

    fn expect_ping(&mut self) {
        let patience = Duration::from_millis(self.handshake.ping_interval + self.handshake.ping_timeout);
        self.ping_deadline.as_mut().reset(Instant::now() + patience);
    }

    /// The other transport works: comes to rest on this one.
    fn pause(&mut self) {
        self.upgrading = true;
        if let Transport::Polling(polling) = &mut self.transport {
            polling.pause();
        }
    }

    fn change_transport(&mut self) {
        let Some(socket) = self.probe.take().and_then(Probe::into_socket) else {
            return;
        };
        self.transport = Transport::WebSocket(socket);
        self.unsent.push_front(Packet::Upgrade);
        self.upgrading = false;
    }

    /// Leaves the session; with `flush`, when everything has been sent. The future does what is left to do.
    pub(super) fn leave(mut self, flush: bool) -> BoxFuture<()> {
        Box::pin(async move {
            if flush {
                let flushed = std::future::poll_fn(|cx| match &mut self.transport {
                    Transport::Polling(polling) => polling.poll_send(cx, &mut self.unsent),
                    Transport::WebSocket(socket) => socket.poll_send(cx, &mut self.unsent),
                });
                // If the server takes nothing any more, it cannot be told anything either.
                let _ = tokio::time::timeout(self.options.timeout, flushed).await;
            }
            match self.transport {
                Transport::Polling(polling) => polling.leave(self.ended_by_server).await,
                Transport::WebSocket(socket) => socket.leave().await,
            }
        })
    }
}
