//! A client that follows the rules: frames as JSON values, whatever the encoding on the wire.

use std::future::Future;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_websockets::{ClientBuilder, CloseCode, Message, WebSocketStream};

use crate::support::TestEdge;

/// How long anything may take. No test waits that long unless it fails.
const DEADLINE: Duration = Duration::from_secs(60);

/// Waits for `future`, but not for ever.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .unwrap_or_else(|_| panic!("waited too long for {what}"))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Json,
    MessagePack,
}

impl Encoding {
    pub const ALL: [Self; 2] = [Self::Json, Self::MessagePack];

    fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "weir.v1.json",
            Self::MessagePack => "weir.v1.msgpack",
        }
    }
}

/// One socket.
pub struct Client {
    socket: WebSocketStream<TcpStream>,
    encoding: Encoding,
}

/// How a socket ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Closed(u16),
    Lost,
}

impl Client {
    pub async fn open(edge: &TestEdge) -> Self {
        Self::open_as(edge, Encoding::Json).await
    }

    pub async fn open_as(edge: &TestEdge, encoding: Encoding) -> Self {
        let stream = TcpStream::connect(edge.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::open_on(stream, encoding).await
    }

    /// A client whose kernel takes only a little in advance.
    pub async fn open_narrow(edge: &TestEdge) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(8 * 1024).unwrap();
        let stream = socket.connect(edge.address).await.unwrap();
        Self::open_on(stream, Encoding::Json).await
    }

    async fn open_on(stream: TcpStream, encoding: Encoding) -> Self {
        let uri = format!("ws://{}/v1/ws", stream.peer_addr().unwrap());
        let builder = ClientBuilder::new().uri(&uri).unwrap();
        let protocol = encoding.subprotocol().parse().unwrap();
        let builder = builder
            .add_header("sec-websocket-protocol".parse().unwrap(), protocol)
            .unwrap();
        let (socket, _) = soon("the handshake", builder.connect_on(stream)).await.unwrap();
        Self { socket, encoding }
    }

    pub async fn send(&mut self, frame: Value) {
        self.feed(frame).await;
        self.flush().await;
    }

    /// Sends with the next flush.
    pub async fn feed(&mut self, frame: Value) {
        let message = match self.encoding {
            Encoding::Json => Message::text(frame.to_string()),
            Encoding::MessagePack => Message::binary(rmp_serde::to_vec_named(&frame).unwrap()),
        };
        soon("a write", self.socket.feed(message)).await.unwrap();
    }

    pub async fn send_message(&mut self, message: Message) {
        soon("a write", self.socket.send(message)).await.unwrap();
    }

    pub async fn flush(&mut self) {
        soon("a flush", self.socket.flush()).await.unwrap();
    }

    /// The next frame, or how the socket ended.
    pub async fn receive(&mut self) -> Result<Value, End> {
        loop {
            match soon("a frame", self.socket.next()).await {
                None | Some(Err(_)) => return Err(End::Lost),
                Some(Ok(message)) => {
                    if let Some((code, _)) = message.as_close() {
                        return Err(End::Closed(CloseCode::into(code)));
                    }
                    if message.is_text() || message.is_binary() {
                        return Ok(self.decode(&message));
                    }
                }
            }
        }
    }

    fn decode(&self, message: &Message) -> Value {
        match self.encoding {
            Encoding::Json => serde_json::from_str(message.as_text().unwrap()).unwrap(),
            Encoding::MessagePack => {
                assert!(message.is_binary());
                rmp_serde::from_slice(message.as_payload()).unwrap()
            }
        }
    }

    /// The next message as it is.
    pub async fn receive_message(&mut self) -> Message {
        soon("a message", self.socket.next()).await.unwrap().unwrap()
    }

    pub async fn next(&mut self) -> Value {
        self.receive()
            .await
            .unwrap_or_else(|end| panic!("the socket ended: {end:?}"))
    }

    /// The next frame, which must be of this type.
    #[track_caller]
    pub fn expect(&mut self, kind: &'static str) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        async move {
            let frame = self.next().await;
            assert_eq!(frame["type"], kind, "{frame} at {caller}");
            frame
        }
    }

    /// Frames until one of this type; the others are dropped.
    pub async fn until(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.next().await;
            if frame["type"] == kind {
                return frame;
            }
        }
    }

    /// How the socket ends; frames before that are dropped.
    pub async fn end(&mut self) -> End {
        loop {
            if let Err(end) = self.receive().await {
                return end;
            }
        }
    }

    /// Follows a stream and returns what `subscribed` says.
    pub async fn subscribe(&mut self, stream: &str, from: &str) -> Value {
        self.send(json!({"type": "subscribe", "ref": "s", "stream": stream, "from": from}))
            .await;
        self.expect("subscribed").await
    }

    /// Publishes, waits for the answer and returns it.
    pub async fn publish(&mut self, stream: &str, data: Value) -> Value {
        self.send(json!({"type": "publish", "ref": "p", "stream": stream, "data": data}))
            .await;
        self.until("published").await
    }

    /// Goes away without a word.
    pub fn kill(self) {
        let stream = self.socket.into_inner();
        // A reset: nothing that is under way arrives any more.
        socket2::SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }

    pub async fn close(mut self) {
        let _ = soon("a close", self.socket.close()).await;
    }
}
