//! Engine.IO over WebSocket: a packet is a message.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink, SinkExt, Stream};
use tokio::net::TcpStream;
use tokio_websockets::{ClientBuilder, Error, Limits, Message as Frame, WebSocketStream};

use super::http::connect;
use super::{BoxFuture, Handshake, Message, Packet, target};
use crate::client::{Options, invalid};

/// Bytes of a message at the most.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long the server may take to answer a close.
const FAREWELL: Duration = Duration::from_secs(1);

pub(super) struct WebSocket {
    stream: WebSocketStream<TcpStream>,
    /// Something was written that may not be on its way yet.
    unflushed: bool,
}

impl WebSocket {
    /// Opens a session.
    pub(super) async fn open(options: &Arc<Options>) -> io::Result<(Self, Handshake)> {
        let mut socket = Self::connect(options, None).await?;
        let first = std::future::poll_fn(|cx| socket.poll_receive(cx)).await?;
        match first {
            Packet::Open(json) => Ok((socket, Handshake::parse(&json)?)),
            _ => Err(invalid("first packet")),
        }
    }

    /// Connects: anew, or to the session `sid`.
    pub(super) async fn connect(options: &Options, sid: Option<&str>) -> io::Result<Self> {
        let stream = connect(options).await?;
        let uri = format!("ws://{}{}", options.server, target(options, "websocket", sid));
        let builder = ClientBuilder::new()
            .uri(&uri)
            .map_err(io::Error::other)?
            .limits(Limits::default().max_payload_len(Some(MESSAGE_BYTES_MAX)));
        let (stream, _) = builder.connect_on(stream).await.map_err(error)?;
        Ok(Self {
            stream,
            unflushed: false,
        })
    }

    /// The next packet.
    pub(super) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Packet>> {
        loop {
            let Some(frame) = ready!(Pin::new(&mut self.stream).poll_next(cx)) else {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            };
            let frame = frame.map_err(error)?;
            let (text, binary) = (frame.is_text(), frame.is_binary());
            if frame.is_close() {
                let code = frame.as_close().map(|(code, reason)| (u16::from(code), reason));
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::ConnectionAborted,
                    format!("closed: {code:?}"),
                )));
            }
            let payload = Bytes::from(frame.into_payload());
            if text {
                return Poll::Ready(Packet::of_text(&payload));
            }
            if binary {
                return Poll::Ready(Ok(Packet::Message(Message::Binary(payload))));
            }
        }
    }

    /// Sends what waits; ready once everything has been handed to the system.
    pub(super) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        packets: &mut VecDeque<Packet>,
    ) -> Poll<io::Result<()>> {
        while !packets.is_empty() {
            ready!(Pin::new(&mut self.stream).poll_ready(cx)).map_err(error)?;
            let Some(packet) = packets.pop_front() else { break };
            let frame = match packet {
                Packet::Message(Message::Binary(bytes)) => Frame::binary(bytes),
                other => Frame::text(Bytes::from(other.text().unwrap_or_default())),
            };
            Pin::new(&mut self.stream).start_send(frame).map_err(error)?;
            self.unflushed = true;
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx)).map_err(error)?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Closes.
    pub(super) fn leave(mut self) -> BoxFuture<()> {
        Box::pin(async move {
            // Whatever becomes of it, the connection ends here.
            let _ = tokio::time::timeout(FAREWELL, self.stream.close()).await;
        })
    }
}

fn error(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        other => io::Error::other(other),
    }
}
