//! A connection without any manners: bytes out, bytes in.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::client::soon;

pub struct Raw {
    pub stream: TcpStream,
}

impl Raw {
    pub async fn connect(server: SocketAddr) -> Self {
        Self {
            stream: TcpStream::connect(server).await.unwrap(),
        }
    }

    /// A connection whose kernel takes only a little in advance.
    pub async fn connect_narrow(server: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(8 * 1024).unwrap();
        Self {
            stream: socket.connect(server).await.unwrap(),
        }
    }

    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        // The server may have gone away in the middle of it.
        let _ = soon("a write", self.stream.write_all(bytes.as_ref())).await;
    }

    pub async fn ask_websocket(&mut self, query: &str) {
        let request = format!(
            "GET /engine.io/?{query} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        self.write(request).await;
    }

    /// Opens a session on a WebSocket and reads its first packet.
    pub async fn open_websocket(&mut self) {
        self.ask_websocket("EIO=4&transport=websocket").await;
        let (head, _) = self.answer().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let (opcode, payload) = self.frame().await.unwrap();
        assert_eq!((opcode, payload[0]), (1, b'0'));
    }

    /// Reads the head and the body of an answer; not a byte behind them.
    pub async fn answer(&mut self) -> (String, String) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(soon("an answer", self.stream.read_u8()).await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse().unwrap())
        });
        let mut body = vec![0; length.unwrap_or(0)];
        soon("a body", self.stream.read_exact(&mut body)).await.unwrap();
        (head, String::from_utf8(body).unwrap())
    }

    /// The next frame of the server; `None` at the end of the connection.
    pub async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
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
        while let Some((opcode, payload)) = self.frame().await {
            if opcode == 8 {
                return Some(u16::from_be_bytes([payload[0], payload[1]]));
            }
        }
        None
    }

    /// Waits until the server has ended the connection.
    pub async fn end(&mut self) {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(1..) = soon("the end", self.stream.read(&mut buffer)).await {}
    }
}

/// A masked frame of a client. `first` is its first byte: FIN and opcode.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    let mask = [0x12, 0x34, 0x56, 0x78];
    out.extend_from_slice(&mask);
    out.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    out
}
