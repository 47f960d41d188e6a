//! A client that says anything: Engine.IO packets over a WebSocket.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_websockets::{ClientBuilder, Limits, MaybeTlsStream, Message, WebSocketStream};

use crate::client::DEADLINE;
use crate::server::Server;

pub struct Raw {
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Raw {
    /// A client with a session, in no namespace.
    pub async fn open(server: &Server) -> Self {
        let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket", server.address());
        let builder = ClientBuilder::new().limits(Limits::unlimited());
        let (socket, _) = builder.uri(&url).unwrap().connect().await.unwrap();
        let mut raw = Self { socket };
        let open = raw.hear().await.unwrap();
        assert!(open.starts_with('0'), "{open}");
        raw
    }

    /// A client in `/`.
    pub async fn connected(server: &Server) -> Self {
        let mut raw = Self::open(server).await;
        raw.say("40").await;
        assert!(raw.hear().await.unwrap().starts_with("40{"));
        assert_eq!(raw.hear().await.unwrap(), "42[\"auth\",{}]");
        raw
    }

    /// Sends a text; whether it can.
    pub async fn say(&mut self, text: &str) -> bool {
        self.socket.send(Message::text(text.to_owned())).await.is_ok()
    }

    pub async fn send_binary(&mut self, bytes: Vec<u8>) -> bool {
        self.socket.send(Message::binary(bytes)).await.is_ok()
    }

    /// The next packet but pings, which it answers; `None` when the connection has been closed. Binary reads as `b`.
    pub async fn hear(&mut self) -> Option<String> {
        loop {
            let next = timeout(DEADLINE, self.socket.next())
                .await
                .expect("the server says something");
            let message = next?.ok()?;
            match message.as_text() {
                Some("2") => {
                    self.say("3").await;
                }
                Some(text) => return Some(text.to_owned()),
                None if message.is_binary() => return Some("b".to_owned()),
                None => {}
            }
        }
    }

    /// Waits until the server has closed the connection; returns what it said until then.
    pub async fn rest(&mut self) -> Vec<String> {
        let mut heard = Vec::new();
        while let Some(text) = self.hear().await {
            heard.push(text);
        }
        heard
    }
}
