//! One WebSocket: what waits to be written, and what comes. It knows nothing of what the messages say.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;

use super::close::CloseCode;
use crate::websocket::{self, Breach, Incoming, Opcode, Outgoing, Piece, Received, Traffic};

/// One WebSocket, server side.
pub(crate) struct Socket {
    socket: websocket::Socket,
    outgoing: Outgoing,
    reply_bytes: usize,
}

/// What happened on a socket.
#[derive(Debug)]
pub(crate) enum SocketEvent {
    /// Everything that was fed has been handed to the kernel.
    Flushed,
    /// Something came. A ping has been answered already.
    Came(Incoming),
    /// The peer broke a rule of the protocol.
    Broken(CloseCode),
    /// The connection is gone.
    Lost(Option<io::Error>),
}

impl Socket {
    /// Takes over a connection on which the handshake is done and `read_ahead` was read already.
    pub(crate) fn new(stream: TcpStream, read_ahead: Bytes, message_bytes_max: usize) -> Self {
        Self {
            socket: websocket::Socket::new(stream, read_ahead, message_bytes_max),
            outgoing: Outgoing::default(),
            reply_bytes: 0,
        }
    }

    /// Queues an answer, a ping or the like.
    pub(crate) fn feed_reply(&mut self, opcode: Opcode, payload: &Bytes) {
        let before = self.outgoing.bytes();
        self.outgoing
            .push(opcode, std::iter::once(Piece::Shared(payload)));
        self.reply_bytes += self.outgoing.bytes() - before;
    }

    /// Queues something that was fetched because the socket could take it.
    pub(crate) fn feed_delivery(&mut self, opcode: Opcode, payload: &Bytes) {
        self.outgoing
            .push(opcode, std::iter::once(Piece::Shared(payload)));
    }

    /// Bytes of answers that wait to be written.
    pub(crate) fn reply_bytes(&self) -> usize {
        self.reply_bytes
    }

    /// Whether anything waits to be written.
    pub(crate) fn unsent(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// What has moved so far. `reading`: whether the socket is being read.
    pub(crate) fn traffic(&self, reading: bool) -> Traffic {
        self.socket.traffic(&self.outgoing, reading)
    }

    /// If `read`, reads the next message; as long as none is there, writes what waits. So the answers to messages that
    /// came together leave together. Cancel-safe.
    ///
    /// Whoever calls it stops reading while there are too many answers; then they are written.
    pub(crate) fn poll_io(&mut self, cx: &mut Context<'_>, read: bool) -> Poll<SocketEvent> {
        if read && let Poll::Ready(received) = self.socket.poll_receive(cx) {
            return Poll::Ready(self.came(received));
        }
        if !self.unsent() {
            return Poll::Pending;
        }
        let sent = ready!(self.socket.poll_send(cx, &mut self.outgoing));
        self.reply_bytes = 0;
        Poll::Ready(match sent {
            Ok(()) => SocketEvent::Flushed,
            Err(error) => SocketEvent::Lost(Some(error)),
        })
    }

    /// What was read with the message before it, and is complete.
    pub(crate) fn buffered(&mut self) -> Option<SocketEvent> {
        let received = self.socket.buffered()?;
        Some(self.came(received))
    }

    fn came(&mut self, received: Received) -> SocketEvent {
        match received {
            Received::Incoming(incoming) => {
                if let Incoming::Ping(payload) = &incoming {
                    self.feed_reply(Opcode::Pong, payload);
                }
                SocketEvent::Came(incoming)
            }
            Received::Broken(breach) => SocketEvent::Broken(match breach {
                Breach::Protocol => CloseCode::ProtocolError,
                Breach::InvalidUtf8 => CloseCode::InvalidData,
                Breach::TooBig => CloseCode::TooBig,
            }),
            Received::Lost(error) => SocketEvent::Lost(error),
        }
    }

    /// Sends what waits and the close, waits for the peer's, and ends the connection; all that within `patience`.
    pub(crate) async fn close(self, code: CloseCode, patience: Duration) {
        self.socket
            .close(self.outgoing, code.code(), code.reason(), patience)
            .await;
    }

    /// Drops the connection and what waits in the kernel for a peer that takes nothing.
    pub(crate) fn abort(self) {
        self.socket.abort();
    }
}
