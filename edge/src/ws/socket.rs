//! A WebSocket over TCP: messages out with back-pressure, messages in when they are wanted, and an orderly end. It
//! does not know what the messages say.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt as _, SinkExt as _, Stream as _, StreamExt as _};
use socket2::SockRef;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_websockets::proto::ProtocolError;
use tokio_websockets::{Config, Error, Limits, Message, ServerBuilder, WebSocketStream};

use super::close::CloseCode;
use super::liveness::Traffic;
use super::wire::Wire;

/// Bytes that one frame header may have; close enough for counting.
const HEADER_BYTES: usize = 10;

/// Messages that a queue keeps room for while it is empty.
const IDLE_CAPACITY: usize = 8;

/// One WebSocket, server side.
pub(crate) struct Socket {
    stream: WebSocketStream<Wire<TcpStream>>,
    /// Not handed to `stream` yet, because that writes whatever it has before each read.
    outgoing: Vec<Message>,
    delivery_bytes: usize,
    reply_bytes: usize,
}

/// What happened on a socket.
#[derive(Debug)]
pub(crate) enum SocketEvent {
    /// Everything that was fed has been handed to the kernel.
    Flushed,
    /// A message came. A ping among them has been answered already, a close too.
    Message(Message),
    /// The peer broke a rule of the protocol.
    Broken(CloseCode),
    /// The connection is gone.
    Lost(Option<io::Error>),
}

impl Socket {
    /// Takes over a connection on which the handshake is done and `read_ahead` was read already.
    pub(crate) fn new(stream: TcpStream, read_ahead: Bytes, message_bytes_max: usize) -> Self {
        // Flushed when this task says so: what is due together goes out together.
        let config = Config::default().flush_threshold(usize::MAX);
        let limits = Limits::default().max_payload_len(Some(message_bytes_max));
        let builder = ServerBuilder::new().config(config).limits(limits);
        Self {
            stream: builder.serve(Wire::new(stream, read_ahead)),
            outgoing: Vec::new(),
            delivery_bytes: 0,
            reply_bytes: 0,
        }
    }

    /// Queues an answer, a ping or the like.
    pub(crate) fn feed_reply(&mut self, message: Message) {
        self.reply_bytes += self.feed(message);
    }

    /// Queues something that was fetched because the socket could take it.
    pub(crate) fn feed_delivery(&mut self, message: Message) {
        self.delivery_bytes += self.feed(message);
    }

    fn feed(&mut self, message: Message) -> usize {
        let bytes = message.as_payload().len() + HEADER_BYTES;
        self.outgoing.push(message);
        bytes
    }

    /// Hands everything to the stream.
    fn gather(&mut self) {
        for message in self.outgoing.drain(..) {
            // Without a flush threshold there is nothing to wait for. On a socket that is closing it is dropped.
            let _ = self.stream.feed(message).now_or_never();
        }
        self.outgoing.shrink_to(IDLE_CAPACITY);
    }

    /// Bytes of answers that wait to be written.
    pub(crate) fn reply_bytes(&self) -> usize {
        self.reply_bytes
    }

    /// Whether anything waits to be written.
    pub(crate) fn unsent(&self) -> bool {
        self.delivery_bytes + self.reply_bytes > 0
    }

    /// What has moved so far. `reading`: whether the socket is being read.
    pub(crate) fn traffic(&self, reading: bool) -> Traffic {
        let wire = self.stream.get_ref();
        Traffic {
            read_bytes: wire.read_bytes(),
            writes_resumed: wire.writes_resumed(),
            unsent: self.unsent(),
            reading,
        }
    }

    /// If `read`, reads the next message; as long as none is there, writes what waits. So the answers to messages that
    /// came together leave together. Cancel-safe.
    ///
    /// Whoever calls it stops reading while there are too many answers; then they are written.
    pub(crate) fn poll_io(&mut self, cx: &mut Context<'_>, read: bool) -> Poll<SocketEvent> {
        if read && let Poll::Ready(next) = Pin::new(&mut self.stream).poll_next(cx) {
            return Poll::Ready(self.came(next));
        }
        if !self.unsent() {
            return Poll::Pending;
        }
        self.gather();
        let flushed = ready!(self.stream.poll_flush_unpin(cx));
        self.delivery_bytes = 0;
        self.reply_bytes = 0;
        Poll::Ready(flushed.map_or_else(failed, |()| SocketEvent::Flushed))
    }

    fn came(&mut self, next: Option<Result<Message, Error>>) -> SocketEvent {
        match next {
            Some(Ok(message)) => {
                if message.is_ping() {
                    self.reply_bytes += message.as_payload().len() + HEADER_BYTES;
                }
                SocketEvent::Message(message)
            }
            Some(Err(error)) => failed(error),
            None => SocketEvent::Lost(None),
        }
    }

    /// Sends what waits and the close, waits for the peer's, and ends the connection; all that within `patience`.
    pub(crate) async fn close(mut self, code: CloseCode, patience: Duration) {
        // Whether the peer took part or not, the connection ends here.
        let _ = tokio::time::timeout(patience, self.close_in_order(code)).await;
    }

    async fn close_in_order(&mut self, code: CloseCode) -> Result<(), Error> {
        self.gather();
        let number = tokio_websockets::CloseCode::try_from(code.code())?;
        // Refused if a close was sent already, as it is after the peer's own and after a breach of the protocol.
        let _ = self
            .stream
            .feed(Message::close(Some(number), code.reason()))
            .await;
        self.stream.flush().await?;
        while let Some(Ok(_)) = self.stream.next().await {}
        // Bytes that nobody has read make the kernel reset the connection, and a reset overtakes the close frame.
        let wire = self.stream.get_mut();
        wire.shutdown().await?;
        tokio::io::copy(wire, &mut tokio::io::sink()).await?;
        Ok(())
    }

    /// Drops the connection and what waits in the kernel for a peer that takes nothing.
    pub(crate) fn abort(self) {
        // Without the option the kernel would only go on trying for a while.
        let _ = SockRef::from(self.stream.get_ref().get_ref()).set_linger(Some(Duration::ZERO));
    }
}

fn failed(error: Error) -> SocketEvent {
    match error {
        Error::Protocol(ProtocolError::InvalidUtf8) => SocketEvent::Broken(CloseCode::InvalidData),
        Error::Protocol(_) => SocketEvent::Broken(CloseCode::ProtocolError),
        Error::PayloadTooLong { .. } => SocketEvent::Broken(CloseCode::TooBig),
        Error::Io(error) => SocketEvent::Lost(Some(error)),
        _ => SocketEvent::Lost(None),
    }
}
