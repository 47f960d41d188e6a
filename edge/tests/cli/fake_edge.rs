//! An edge that does what a test tells it, byte by byte: for the faults that a real one does not show on demand.

use std::collections::HashMap;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// How long a test waits for anything before it fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Listens; the test takes one request after the other.
pub(crate) struct FakeEdge {
    listener: TcpListener,
}

impl FakeEdge {
    /// An edge on a port of its own.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener }
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.listener.local_addr().unwrap())
    }

    /// The next request, as soon as its head is there.
    pub(crate) async fn request(&self) -> Conversation {
        timeout(DEADLINE, self.accept()).await.expect("a request in time")
    }

    async fn accept(&self) -> Conversation {
        loop {
            let (socket, _) = self.listener.accept().await.unwrap();
            if let Some(conversation) = Conversation::begin(socket).await {
                return conversation;
            }
        }
    }
}

/// One request and the answer to it. Dropping it closes the connection.
pub(crate) struct Conversation {
    socket: TcpStream,
    /// What was read and not taken yet.
    read: Vec<u8>,
    /// What of the request's body was decoded, and up to where its lines were taken.
    body: Vec<u8>,
    body_at: usize,
    /// Method and path, as they came.
    pub(crate) target: String,
    /// Parameters of the query, decoded, in order.
    pub(crate) query: Vec<(String, String)>,
    /// Headers, with names in lower case.
    pub(crate) headers: HashMap<String, String>,
}

impl Conversation {
    async fn begin(mut socket: TcpStream) -> Option<Self> {
        let mut read = Vec::new();
        let end = loop {
            if let Some(end) = read.windows(4).position(|w| w == b"\r\n\r\n") {
                break end;
            }
            if socket.read_buf(&mut read).await.ok()? == 0 {
                return None;
            }
        };
        let head = String::from_utf8(read[..end].to_vec()).unwrap();
        read.drain(..end + 4);
        let mut lines = head.split("\r\n");
        let mut words = lines.next().unwrap().split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers = lines.map(|line| line.split_once(": ").unwrap());
        Some(Self {
            socket,
            read,
            body: Vec::new(),
            body_at: 0,
            target: format!("{method} {path}"),
            query: query
                .split('&')
                .filter(|p| !p.is_empty())
                .map(parameter)
                .collect(),
            headers: headers
                .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                .collect(),
        })
    }

    /// The value of a parameter of the query.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// Sends bytes as they are.
    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        timeout(DEADLINE, self.socket.write_all(bytes))
            .await
            .unwrap()
            .unwrap();
    }

    /// Like [`Self::send_raw`], but the client may have gone.
    pub(crate) async fn try_send_raw(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).await.is_ok()
    }

    /// Begins an answer of lines that goes on for ever.
    pub(crate) async fn begin_lines(&mut self) {
        let head =
            "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n";
        self.send_raw(head.as_bytes()).await;
    }

    /// Sends a piece of the answer.
    pub(crate) async fn chunk(&mut self, text: &str) {
        self.send_raw(chunk(text).as_bytes()).await;
    }

    /// Ends the answer as it should end.
    pub(crate) async fn end(&mut self) {
        self.send_raw(b"0\r\n\r\n").await;
    }

    /// Sends a whole answer, with further header lines.
    pub(crate) async fn answer(&mut self, status: &str, headers: &str, body: &str) {
        let length = body.len();
        let text = format!(
            "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        self.send_raw(text.as_bytes()).await;
    }

    /// The body of a request that has a content length.
    pub(crate) async fn whole_body(&mut self) -> String {
        let length: usize = self.headers["content-length"].parse().unwrap();
        while self.read.len() < length {
            timeout(DEADLINE, self.fill())
                .await
                .expect("a body in time")
                .expect("a whole body");
        }
        String::from_utf8(self.read.drain(..length).collect()).unwrap()
    }

    /// The next line of the request's body, without its line feed; `None` when the body has ended.
    pub(crate) async fn body_line(&mut self) -> Option<String> {
        timeout(DEADLINE, self.next_line()).await.expect("a line in time")
    }

    async fn next_line(&mut self) -> Option<String> {
        loop {
            let rest = &self.body[self.body_at..];
            if let Some(end) = rest.iter().position(|b| *b == b'\n') {
                let line = String::from_utf8(rest[..end].to_vec()).unwrap();
                self.body_at += end + 1;
                return Some(line);
            }
            self.body.drain(..self.body_at);
            self.body_at = 0;
            if self.next_chunk().await? == 0 {
                assert!(self.body.is_empty(), "a body that ends within a line");
                return None;
            }
        }
    }

    /// Takes the next chunk of the request's body; brings its size.
    async fn next_chunk(&mut self) -> Option<usize> {
        let start = loop {
            if let Some(end) = self.read.windows(2).position(|w| w == b"\r\n") {
                break end + 2;
            }
            self.fill().await?;
        };
        let size = usize::from_str_radix(std::str::from_utf8(&self.read[..start - 2]).unwrap(), 16).unwrap();
        while self.read.len() < start + size + 2 {
            self.fill().await?;
        }
        self.body.extend_from_slice(&self.read[start..start + size]);
        self.read.drain(..start + size + 2);
        Some(size)
    }

    /// Waits until the client has closed the connection.
    pub(crate) async fn closed_by_client(mut self) {
        let gone = async { while matches!(self.socket.read_buf(&mut self.read).await, Ok(1..)) {} };
        timeout(DEADLINE, gone).await.expect("the client closes in time");
    }

    async fn fill(&mut self) -> Option<()> {
        match self.socket.read_buf(&mut self.read).await {
            Ok(1..) => Some(()),
            _ => None,
        }
    }
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

fn parameter(pair: &str) -> (String, String) {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    let decode = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_encoding::percent_decode_str(&spaced)
            .decode_utf8()
            .unwrap()
            .into_owned()
    };
    (decode(name), decode(value))
}
