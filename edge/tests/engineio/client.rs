//! Clients: one that polls, and one with a WebSocket. They send what they are told, right or wrong.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_websockets::{ClientBuilder, CloseCode, Message, WebSocketStream};

/// How long anything may take. No test waits that long unless it fails.
const DEADLINE: Duration = Duration::from_secs(60);

/// Waits for `future`, but not for ever.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .unwrap_or_else(|_| panic!("waited too long for {what}"))
}

/// An HTTP client with connections of its own.
pub fn http() -> reqwest::Client {
    // An error means that another test of this process was first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// A status and a body.
pub type Answer = (u16, String);

pub fn unknown() -> Answer {
    (400, r#"{"code":1,"message":"Session ID unknown"}"#.into())
}

pub fn bad() -> Answer {
    (400, r#"{"code":3,"message":"Bad request"}"#.into())
}

pub fn ok(body: &str) -> Answer {
    (200, body.into())
}

/// A client that polls, at whatever server it is told.
#[derive(Clone)]
pub struct Poller {
    http: reqwest::Client,
    pub sid: String,
}

impl Poller {
    /// Opens a session.
    pub async fn open(server: SocketAddr) -> Self {
        let http = http();
        let url = format!("http://{server}/engine.io/?EIO=4&transport=polling");
        let response = soon("a handshake", http.get(url).send()).await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        let body = response.text().await.unwrap();
        let open: Value = serde_json::from_str(body.strip_prefix('0').unwrap()).unwrap();
        let sid = open["sid"].as_str().unwrap().to_owned();
        Self { http, sid }
    }

    pub fn url(&self, server: SocketAddr) -> String {
        format!(
            "http://{server}/engine.io/?EIO=4&transport=polling&sid={}",
            self.sid
        )
    }

    pub async fn get(&self, server: SocketAddr) -> Answer {
        answer(self.http.get(self.url(server))).await
    }

    pub async fn post(&self, server: SocketAddr, body: impl Into<reqwest::Body>) -> Answer {
        answer(self.http.post(self.url(server)).body(body)).await
    }
}

pub async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = soon("an answer", request.send()).await.unwrap();
    let status = response.status().as_u16();
    (status, soon("a body", response.text()).await.unwrap())
}

/// A client with a WebSocket.
pub struct Socket(WebSocketStream<TcpStream>);

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub enum Came {
    Text(String),
    Binary(Vec<u8>),
    /// The WebSocket was closed, with this code.
    Closed(u16),
    /// It ended without a close.
    Lost,
}

impl Socket {
    /// Opens a WebSocket: for a session, or for a new one.
    pub async fn connect(server: SocketAddr, sid: Option<&str>) -> Self {
        let stream = TcpStream::connect(server).await.unwrap();
        Self::connect_on(stream, sid).await
    }

    pub async fn connect_on(stream: TcpStream, sid: Option<&str>) -> Self {
        let server = stream.peer_addr().unwrap();
        let sid = sid.map(|sid| format!("&sid={sid}")).unwrap_or_default();
        let uri = format!("ws://{server}/engine.io/?EIO=4&transport=websocket{sid}");
        let builder = ClientBuilder::new().uri(&uri).unwrap();
        let (socket, _) = soon("a handshake", builder.connect_on(stream)).await.unwrap();
        Self(socket)
    }

    /// Opens a session. Returns its ID too.
    pub async fn open(server: SocketAddr) -> (Self, String) {
        let mut socket = Self::connect(server, None).await;
        let sid = socket.opened().await;
        (socket, sid)
    }

    /// Reads the first packet; returns the session's ID.
    pub async fn opened(&mut self) -> String {
        let Came::Text(text) = self.next().await else {
            panic!("no first packet")
        };
        let open: Value = serde_json::from_str(text.strip_prefix('0').unwrap()).unwrap();
        assert_eq!(open["upgrades"], serde_json::json!([]));
        open["sid"].as_str().unwrap().to_owned()
    }

    /// Tries a WebSocket for a session that polls, and changes to it. No GET must wait.
    pub async fn upgrade(server: SocketAddr, sid: &str) -> Self {
        let mut socket = Self::connect(server, Some(sid)).await;
        socket.send("2probe").await;
        assert_eq!(socket.next().await, Came::Text("3probe".into()));
        socket.send("5").await;
        socket
    }

    pub async fn send(&mut self, text: &str) {
        self.send_message(Message::text(text.to_owned())).await;
    }

    pub async fn send_binary(&mut self, bytes: &[u8]) {
        self.send_message(Message::binary(bytes.to_vec())).await;
    }

    async fn send_message(&mut self, message: Message) {
        // The server may have gone away in the middle of it.
        let _ = soon("a write", self.0.send(message)).await;
    }

    /// What comes next.
    pub async fn next(&mut self) -> Came {
        loop {
            let Some(Ok(message)) = soon("a message", self.0.next()).await else {
                return Came::Lost;
            };
            if let Some(text) = message.as_text() {
                return Came::Text(text.to_owned());
            }
            if message.is_binary() {
                return Came::Binary(message.as_payload().to_vec());
            }
            if let Some((code, _)) = message.as_close() {
                return Came::Closed(CloseCode::into(code));
            }
        }
    }

    /// Sends a message and expects it back. Pings that come before it are answered.
    pub async fn echo(&mut self, text: &str) {
        self.send(&format!("4{text}")).await;
        loop {
            match self.next().await {
                Came::Text(ping) if ping == "2" => self.send("3").await,
                came => return assert_eq!(came, Came::Text(format!("4{text}"))),
            }
        }
    }

    /// How it ends; what comes before that is dropped.
    pub async fn end(&mut self) -> Came {
        loop {
            match self.next().await {
                Came::Text(_) | Came::Binary(_) => {}
                end => return end,
            }
        }
    }

    pub async fn close(mut self) {
        let _ = soon("a close", self.0.close()).await;
    }
}
