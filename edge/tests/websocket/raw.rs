//! A client that may break every rule: bytes out, frames in.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::soon;
use crate::support::TestEdge;

/// The key of the example in RFC 6455, section 1.3, and the answer to it.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// The bytes of a frame. Bits that a client must set can be left out.
#[derive(Clone)]
pub struct Frame {
    pub first: u8,
    pub masked: bool,
    pub payload: Vec<u8>,
    /// What the header says, if it lies.
    pub length: Option<u64>,
}

impl Frame {
    /// A whole message as it should be.
    pub fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            first: 0x80 | opcode,
            masked: true,
            payload: payload.into(),
            length: None,
        }
    }

    /// The beginning or middle of a message.
    pub fn partial(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            first: opcode,
            ..Self::new(opcode, payload)
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let length = self.length.unwrap_or(self.payload.len() as u64);
        let mask_bit = if self.masked { 0x80 } else { 0 };
        let mut out = vec![self.first];
        match length {
            0..=125 => out.push(mask_bit | length as u8),
            126..=0xffff => {
                out.push(mask_bit | 126);
                out.extend_from_slice(&(length as u16).to_be_bytes());
            }
            _ => {
                out.push(mask_bit | 127);
                out.extend_from_slice(&length.to_be_bytes());
            }
        }
        let mask = [0x12, 0x34, 0x56, 0x78];
        if self.masked {
            out.extend_from_slice(&mask);
        }
        let masked = self.payload.iter().zip(mask.iter().cycle());
        out.extend(masked.map(|(byte, mask)| if self.masked { byte ^ mask } else { *byte }));
        out
    }
}

/// The headers of a request for a WebSocket, with `changes` instead of or beside the usual ones. An empty value
/// leaves a header out.
pub fn request(changes: &[(&str, &str)]) -> String {
    let mut headers = vec![
        ("Host", "edge.example"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", KEY),
    ];
    for change in changes {
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case(change.0));
        headers.push(*change);
    }
    headers.retain(|(_, value)| !value.is_empty());
    let lines: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!("GET /v1/ws HTTP/1.1\r\n{lines}\r\n")
}

/// The head of an answer.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (other, value) = line.split_once(':')?;
            other.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// A connection without any manners.
pub struct Raw {
    pub stream: TcpStream,
}

impl Raw {
    /// A connection on which nothing was said.
    pub async fn connect(edge: &TestEdge) -> Self {
        Self {
            stream: TcpStream::connect(edge.address).await.unwrap(),
        }
    }

    /// A connection on which the handshake is done.
    pub async fn open(edge: &TestEdge) -> Self {
        let mut raw = Self::connect(edge).await;
        let answer = raw.ask(&request(&[])).await;
        assert_eq!(answer.status, 101, "{}", answer.head);
        raw
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        // The server may have gone away in the middle of it.
        let _ = soon("a write", self.stream.write_all(bytes)).await;
    }

    pub async fn send(&mut self, frame: &Frame) {
        self.write(&frame.bytes()).await;
    }

    /// Sends a request and reads the answer.
    pub async fn ask(&mut self, request: &str) -> Answer {
        self.write(request.as_bytes()).await;
        self.answer().await
    }

    /// Reads an answer; not a byte behind it.
    pub async fn answer(&mut self) -> Answer {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(soon("an answer", self.stream.read_u8()).await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let mut answer = Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head,
            body: String::new(),
        };
        let length = answer
            .header("content-length")
            .map_or(0, |value| value.parse().unwrap());
        let mut body = vec![0; length];
        soon("a body", self.stream.read_exact(&mut body)).await.unwrap();
        answer.body = String::from_utf8(body).unwrap();
        answer
    }

    /// The next frame of the server: opcode and payload; `None` at the end of the connection.
    pub async fn receive(&mut self) -> Option<(u8, Vec<u8>)> {
        soon("a frame", self.read_frame()).await.ok()
    }

    async fn read_frame(&mut self) -> std::io::Result<(u8, Vec<u8>)> {
        let first = self.stream.read_u8().await?;
        let length = match self.stream.read_u8().await? {
            126 => u64::from(self.stream.read_u16().await?),
            127 => self.stream.read_u64().await?,
            length => u64::from(length),
        };
        assert!(
            length < 1 << 30,
            "a server does not mask, and sends no frame of {length} bytes"
        );
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload).await?;
        Ok((first & 0x0f, payload))
    }

    /// The code of the close frame; everything before it is dropped. `None` if there is none.
    pub async fn close_code(&mut self) -> Option<u16> {
        while let Some((opcode, payload)) = self.receive().await {
            if opcode == CLOSE {
                return Some(
                    payload
                        .get(..2)
                        .map_or(1005, |code| u16::from_be_bytes([code[0], code[1]])),
                );
            }
        }
        None
    }

    /// Waits until the server has ended the connection.
    pub async fn end(&mut self) {
        while self.receive().await.is_some() {}
    }

    /// Sends a text and returns the next text.
    pub async fn tell(&mut self, text: &str) -> String {
        self.send(&Frame::new(TEXT, text)).await;
        loop {
            let (opcode, payload) = self.receive().await.unwrap();
            if opcode == TEXT {
                return String::from_utf8(payload).unwrap();
            }
        }
    }
}
