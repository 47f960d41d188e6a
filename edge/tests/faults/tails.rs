//! A client's side of the three transports: opens a tail and brings its [`Frame`]s. Knows nothing of what is right.

use std::io;
use std::net::SocketAddr;

use axum::http::{HeaderName, HeaderValue};
use futures_util::{SinkExt, StreamExt};
use shared::StreamName;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio_websockets::{ClientBuilder, MaybeTlsStream, Message, WebSocketStream};

use crate::frames::{Fields, Frame, Position, broken};
use crate::http::{self, Body};

/// How a subscriber receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Server-sent events.
    Sse,
    /// Lines of JSON.
    Ndjson,
    /// WebSocket with JSON frames.
    WebSocket,
}

impl Transport {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Sse, Self::Ndjson, Self::WebSocket];
}

/// An open tail.
pub enum Tail {
    /// Server-sent events; and the fields of the one that is arriving.
    Sse(Body<OwnedReadHalf>, Fields),
    /// Lines of JSON.
    Ndjson(Body<OwnedReadHalf>),
    /// WebSocket.
    WebSocket(Box<WebSocketStream<MaybeTlsStream<TcpStream>>>),
}

impl Tail {
    /// Connects and asks for `streams` from `position` on. `receive_bytes`: the socket's receive buffer.
    pub async fn open(
        transport: Transport,
        address: SocketAddr,
        streams: &[StreamName],
        position: &Position,
        receive_bytes: Option<usize>,
    ) -> io::Result<Self> {
        let socket = http::connect(address, receive_bytes).await?;
        match transport {
            Transport::WebSocket => open_websocket(socket, streams, position).await,
            Transport::Ndjson => {
                let from = position.token.as_deref().unwrap_or(position.begin);
                let target = target(streams, Some(from));
                let body = http::get(socket, &target, &[("Accept", "application/x-ndjson")]).await?;
                Ok(Self::Ndjson(body))
            }
            Transport::Sse => {
                let mut headers = vec![("Accept", "text/event-stream")];
                if let Some(token) = &position.token {
                    headers.push(("Last-Event-ID", token));
                }
                // A browser repeats the URL it was given: the header has to win over `from`.
                let body = http::get(socket, &target(streams, Some(position.begin)), &headers).await?;
                Ok(Self::Sse(body, Fields::default()))
            }
        }
    }

    /// The next frame; `None` if the server ended the tail. A frame that cannot be understood is
    /// [`io::ErrorKind::InvalidData`]; every other error is that of the connection.
    pub async fn next(&mut self) -> io::Result<Option<Frame>> {
        match self {
            Self::Ndjson(body) => match body.line().await? {
                Some(line) if line.is_empty() => Ok(Some(Frame::nothing())),
                Some(line) => Frame::of_line(&line).map(Some),
                None => Ok(None),
            },
            Self::Sse(body, fields) => loop {
                let Some(line) = body.line().await? else {
                    return Ok(None);
                };
                if let Some(frame) = fields.take_line(&line)? {
                    return Ok(Some(frame));
                }
            },
            Self::WebSocket(socket) => match socket.next().await {
                None => Ok(None),
                Some(Err(tokio_websockets::Error::Io(error))) => Err(error),
                Some(Err(error)) => Err(broken(&error.to_string())),
                Some(Ok(message)) if message.is_close() => Err(closed(&message)),
                Some(Ok(message)) => match message.as_text() {
                    Some(text) => Frame::of_message(text.as_bytes()).map(Some),
                    None => Ok(Some(Frame::nothing())),
                },
            },
        }
    }

    /// Whether a part of a frame has arrived. Not known of a WebSocket.
    pub fn in_mid_frame(&self) -> bool {
        match self {
            Self::Sse(body, fields) => body.in_mid_frame() || fields.has_begun(),
            Self::Ndjson(body) => body.in_mid_frame(),
            Self::WebSocket(_) => false,
        }
    }
}

fn target(streams: &[StreamName], from: Option<&str>) -> String {
    let from = from.map(|from| format!("from={from}")).unwrap_or_default();
    match streams {
        [stream] => format!("/v1/streams/{}?{from}", stream.as_str().replace('/', "%2F")),
        streams => {
            let streams: String = streams.iter().map(|stream| format!("stream={stream}&")).collect();
            format!("/v1/tail?{streams}{from}")
        }
    }
}

async fn open_websocket(socket: TcpStream, streams: &[StreamName], position: &Position) -> io::Result<Tail> {
    let protocol = HeaderName::from_static("sec-websocket-protocol");
    let builder = ClientBuilder::new()
        .uri("ws://weir.test/v1/ws")
        .map_err(|error| broken(&error.to_string()))?
        .add_header(protocol, HeaderValue::from_static("weir.v1.json"))
        .map_err(|error| broken(&error.to_string()))?;
    let connected = builder.connect_on(MaybeTlsStream::Plain(socket)).await;
    let (mut socket, _) = connected.map_err(connection_error)?;
    let positions: serde_json::Map<String, serde_json::Value> = streams
        .iter()
        .map(|stream| {
            let cursor = position.each.get(stream).map_or(position.begin, String::as_str);
            (stream.to_string(), cursor.into())
        })
        .collect();
    let subscribe = serde_json::json!({"type": "subscribe", "ref": 1, "streams": positions});
    let sent = socket.send(Message::text(subscribe.to_string())).await;
    sent.map_err(connection_error)?;
    Ok(Tail::WebSocket(Box::new(socket)))
}

/// The server closed: with which code and why.
fn closed(message: &Message) -> io::Error {
    let (code, reason) = message
        .as_close()
        .map_or((0, ""), |(code, reason)| (code.into(), reason));
    io::Error::other(format!("closed with {code}: {reason}"))
}

/// Errors while a WebSocket opens are those of the connection: a 503, or a head that was cut off.
fn connection_error(error: tokio_websockets::Error) -> io::Error {
    match error {
        tokio_websockets::Error::Io(error) => error,
        error => io::Error::other(error.to_string()),
    }
}
