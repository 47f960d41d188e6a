//! A plain HTTP client that reads as many bytes as a test wants, and no more: what it leaves unread stays in the
//! kernel and then in the edge. It takes chunked bodies apart itself, so that it knows a clean end from a cut.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout_at};

/// How long one connection or program of a test may take, all in all. None does unless the test fails.
pub const DEADLINE: Duration = Duration::from_secs(90);

/// An answer whose body is read bit by bit.
pub struct Answer {
    pub status: u16,
    head: String,
    stream: TcpStream,
    /// Bytes as they came, not decoded yet.
    raw: Vec<u8>,
    chunked: bool,
    /// Bytes of the current chunk (or of the whole body) still to come.
    left: usize,
    ended: bool,
    deadline: Instant,
}

/// Asks for `path`.
pub async fn get(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Answer {
    let stream = TcpStream::connect(address).await.unwrap();
    get_on(stream, path, headers).await
}

/// Asks for `path` on a connection whose receive buffer is as small as the kernel allows.
#[allow(dead_code)]
pub async fn get_narrow(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Answer {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    get_on(socket.connect(address).await.unwrap(), path, headers).await
}

/// Asks for a tail as server-sent events, from the given last event ID if it is not empty.
pub async fn sse(address: SocketAddr, path: &str, last_event_id: &str) -> Answer {
    let accept = ("accept", "text/event-stream");
    match last_event_id {
        "" => get(address, path, &[accept]).await,
        id => get(address, path, &[accept, ("last-event-id", id)]).await,
    }
}

/// Asks for a tail as lines.
pub async fn ndjson(address: SocketAddr, path: &str) -> Answer {
    get(address, path, &[("accept", "application/x-ndjson")]).await
}

async fn get_on(mut stream: TcpStream, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = format!("GET {path} HTTP/1.1\r\nhost: weir\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let deadline = Instant::now() + DEADLINE;
    let mut raw = Vec::new();
    let end = loop {
        if let Some(at) = raw.windows(4).position(|w| w == b"\r\n\r\n") {
            break at;
        }
        assert!(
            read_more(&mut stream, &mut raw, deadline).await > 0,
            "the head is complete"
        );
    };
    let rest = raw.split_off(end + 4);
    let head = String::from_utf8(raw).unwrap().to_ascii_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut answer = Answer {
        status,
        head,
        stream,
        raw: rest,
        chunked: false,
        left: 0,
        ended: false,
        deadline,
    };
    answer.chunked = answer.header("transfer-encoding") == Some("chunked");
    answer.left = answer.header("content-length").map_or(0, |n| n.parse().unwrap());
    answer.ended = !answer.chunked && answer.left == 0;
    answer
}

async fn read_more(stream: &mut TcpStream, raw: &mut Vec<u8>, deadline: Instant) -> usize {
    let read = timeout_at(deadline, stream.read_buf(raw)).await;
    read.expect("an answer in time").unwrap_or(0)
}

impl Answer {
    /// A header's value, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1);
        let mut pairs = lines.filter_map(|line| line.split_once(':'));
        pairs
            .find(|(found, _)| *found == name)
            .map(|(_, value)| value.trim())
    }

    /// Reads between 1 and `max` bytes of the body; `None` at its clean end. Panics if the connection is cut.
    pub async fn read(&mut self, max: usize) -> Option<Vec<u8>> {
        if self.left == 0 && !self.ended {
            self.begin_chunk().await;
        }
        if self.ended {
            return None;
        }
        while self.raw.is_empty() {
            assert!(
                read_more(&mut self.stream, &mut self.raw, self.deadline).await > 0,
                "the body was cut off"
            );
        }
        let take = max.min(self.left).min(self.raw.len());
        let bytes = self.raw.drain(..take).collect();
        self.left -= take;
        if self.left == 0 {
            match self.chunked {
                true => assert_eq!(self.take_raw(2).await, b"\r\n"),
                false => self.ended = true,
            }
        }
        Some(bytes)
    }

    /// Reads exactly so many bytes of the body.
    pub async fn read_exactly(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            bytes.extend(
                self.read(len - bytes.len())
                    .await
                    .expect("the body is long enough"),
            );
        }
        bytes
    }

    /// Reads until the body ends cleanly.
    pub async fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some(more) = self.read(usize::MAX).await {
            bytes.extend(more);
        }
        bytes
    }

    /// Reads until what has come ends as the test wants.
    pub async fn read_until(&mut self, mut enough: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        while !enough(&bytes) {
            bytes.extend(self.read(usize::MAX).await.expect("the body goes on"));
        }
        bytes
    }

    async fn begin_chunk(&mut self) {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.extend(self.take_raw(1).await);
        }
        let digits = std::str::from_utf8(&line).unwrap().trim();
        self.left = usize::from_str_radix(digits, 16).unwrap();
        if self.left == 0 {
            assert_eq!(self.take_raw(2).await, b"\r\n");
            self.ended = true;
        }
    }

    async fn take_raw(&mut self, len: usize) -> Vec<u8> {
        while self.raw.len() < len {
            assert!(
                read_more(&mut self.stream, &mut self.raw, self.deadline).await > 0,
                "the body was cut off"
            );
        }
        self.raw.drain(..len).collect()
    }
}
