//! A small HTTP/1.1 client over one TCP connection, which shows what a real client would see when it is cut off in
//! mid-frame: every complete line that arrived, then the end. It knows nothing of streams and events.

use std::io;
use std::net::SocketAddr;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// Bytes read from the socket at once.
const READ_BYTES: usize = 16 * 1024;
/// Bytes of a response's head, a chunk's head or a body's line.
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// Connects; with a receive buffer of about `receive_bytes` if that is given.
pub async fn connect(address: SocketAddr, receive_bytes: Option<usize>) -> io::Result<TcpStream> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    if let Some(bytes) = receive_bytes {
        SockRef::from(&socket).set_recv_buffer_size(bytes)?;
    }
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends a GET and returns the body of a 200; another status is an error with the body in its text.
pub async fn get(
    stream: TcpStream,
    target: &str,
    headers: &[(&str, &str)],
) -> io::Result<Body<OwnedReadHalf>> {
    let (read, mut write) = stream.into_split();
    let mut head = format!("GET {target} HTTP/1.1\r\nHost: weir.test\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    write.write_all(head.as_bytes()).await?;
    let mut body = Body::new(read);
    // Kept, so that the connection stays open in both directions.
    body.write = Some(write);
    body.read_head().await?;
    Ok(body)
}

/// Begins a POST whose body is sent chunk by chunk with [`push_chunk`]. The head of the response is not awaited.
pub async fn begin_post(
    stream: TcpStream,
    target: &str,
    content_type: &str,
) -> io::Result<(Body<OwnedReadHalf>, OwnedWriteHalf)> {
    let (read, mut write) = stream.into_split();
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: weir.test\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    write.write_all(head.as_bytes()).await?;
    Ok((Body::new(read), write))
}

/// Appends one chunk of a request's body to `out`; the empty chunk ends the body.
pub fn push_chunk(out: &mut Vec<u8>, data: &[u8]) {
    out.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// How the end of a body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Chunked { left: usize },
    Length { left: usize },
    UntilClose,
    Ended,
}

/// A response's body, read line by line.
pub struct Body<R> {
    read: R,
    write: Option<OwnedWriteHalf>,
    piece: Box<[u8]>,
    raw: Vec<u8>,
    /// How much of `raw` has been consumed.
    at: usize,
    line: Vec<u8>,
    framing: Framing,
}

impl<R: AsyncRead + Unpin> Body<R> {
    fn new(read: R) -> Self {
        Self {
            read,
            write: None,
            piece: vec![0; READ_BYTES].into(),
            raw: Vec::new(),
            at: 0,
            line: Vec::new(),
            framing: Framing::UntilClose,
        }
    }

    /// Reads the response's status and headers.
    pub async fn read_head(&mut self) -> io::Result<()> {
        let status = self.head_line().await?;
        let code = status.split(' ').nth(1).unwrap_or_default().to_owned();
        loop {
            let line = self.head_line().await?.to_ascii_lowercase();
            match line.split_once(':').map(|(name, value)| (name, value.trim())) {
                Some(("transfer-encoding", "chunked")) => self.framing = Framing::Chunked { left: 0 },
                Some(("content-length", length)) => {
                    let left = length.parse().map_err(|_| invalid("content-length"))?;
                    self.framing = Framing::Length { left };
                }
                Some(_) => {}
                None => break,
            }
        }
        if code != "200" {
            let text = self.line().await?.unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            return Err(io::Error::other(format!("status {code}: {text}")));
        }
        Ok(())
    }

    /// The next complete line of the body without its line feed; `None` at the body's proper end.
    ///
    /// Being cut off is an error, whether or not a part of a line had arrived. Giving up the call loses nothing.
    pub async fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let available = self.available();
            if available == 0 {
                if !self.next_piece().await? {
                    let rest = std::mem::take(&mut self.line);
                    return Ok((!rest.is_empty()).then_some(rest));
                }
                continue;
            }
            let piece = &self.raw[self.at..self.at + available];
            let (taken, ended) = match memchr::memchr(b'\n', piece) {
                Some(index) => (index + 1, true),
                None => (piece.len(), false),
            };
            self.line.extend_from_slice(&piece[..taken]);
            self.consume(taken);
            if ended {
                self.line.pop();
                return Ok(Some(std::mem::take(&mut self.line)));
            }
            if self.line.len() > LINE_BYTES_MAX {
                return Err(invalid("line too long"));
            }
        }
    }

    /// Whether a part of a line has arrived whose rest has not: after an error, whether the cut was in mid-frame.
    pub fn in_mid_frame(&self) -> bool {
        !self.line.is_empty()
    }

    /// Bytes of the body that can be taken from `raw` now.
    fn available(&self) -> usize {
        let raw = self.raw.len() - self.at;
        match self.framing {
            Framing::Chunked { left } | Framing::Length { left } => left.min(raw),
            Framing::UntilClose => raw,
            Framing::Ended => 0,
        }
    }

    fn consume(&mut self, bytes: usize) {
        self.at += bytes;
        if let Framing::Chunked { left } | Framing::Length { left } = &mut self.framing {
            *left -= bytes;
        }
        if self.at == self.raw.len() {
            self.raw.clear();
            self.at = 0;
        }
    }

    /// Makes more of the body available; `false` at its end.
    async fn next_piece(&mut self) -> io::Result<bool> {
        match self.framing {
            Framing::Ended | Framing::Length { left: 0 } => return Ok(false),
            Framing::Chunked { left: 0 } => {
                let mut head = self.head_line().await?;
                if head.is_empty() {
                    // The line break behind the chunk before.
                    head = self.head_line().await?;
                }
                let left = usize::from_str_radix(&head, 16).map_err(|_| invalid("chunk size"))?;
                self.framing = if left == 0 {
                    Framing::Ended
                } else {
                    Framing::Chunked { left }
                };
            }
            Framing::UntilClose => return Ok(self.fill().await? > 0),
            Framing::Chunked { .. } | Framing::Length { .. } => {
                if self.fill().await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
        Ok(true)
    }

    /// One line of a head: with its own framing, outside of the body.
    async fn head_line(&mut self) -> io::Result<String> {
        loop {
            if let Some(index) = memchr::memchr(b'\n', &self.raw[self.at..]) {
                let line = self.raw[self.at..self.at + index].trim_ascii_end();
                let line = String::from_utf8_lossy(line).into_owned();
                self.at += index + 1;
                return Ok(line);
            }
            if self.raw.len() > LINE_BYTES_MAX {
                return Err(invalid("head too long"));
            }
            if self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn fill(&mut self) -> io::Result<usize> {
        if self.at > 0 {
            self.raw.drain(..self.at);
            self.at = 0;
        }
        // Into a buffer of its own, so that giving up the read loses nothing.
        let read = self.read.read(&mut self.piece).await?;
        self.raw.extend_from_slice(&self.piece[..read]);
        Ok(read)
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(response: &[u8]) -> (Vec<String>, bool, bool) {
        let mut body = Body::new(response);
        body.read_head().await.unwrap();
        let mut lines = Vec::new();
        loop {
            match body.line().await {
                Ok(Some(line)) => lines.push(String::from_utf8(line).unwrap()),
                Ok(None) => return (lines, true, body.in_mid_frame()),
                Err(_) => return (lines, false, body.in_mid_frame()),
            }
        }
    }

    #[tokio::test]
    async fn lines_may_span_chunks() {
        let response =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab\ncd\r\n3\r\nef\n\r\n0\r\n\r\n";
        let (lines, ended, _) = lines(response).await;
        assert_eq!((lines, ended), (vec!["ab".to_owned(), "cdef".to_owned()], true));
    }

    #[tokio::test]
    async fn a_cut_at_any_byte_gives_complete_lines_and_no_end() {
        let response =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab\ncd\r\n3\r\nef\n\r\n0\r\n";
        let head = response.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        let mut in_mid_frame_at = Vec::new();
        for cut in head..response.len() - 3 {
            let (lines, ended, in_mid_frame) = lines(&response[..cut]).await;
            assert!(!ended, "cut at {cut}");
            assert!(
                lines.iter().all(|line| line == "ab" || line == "cdef"),
                "{lines:?}"
            );
            if in_mid_frame {
                in_mid_frame_at.push(cut - head);
            }
        }
        // After the first byte of "ab", and from the first byte of "cdef" to its last.
        assert_eq!(in_mid_frame_at, [4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    }

    #[tokio::test]
    async fn another_status_is_an_error_with_its_text() {
        let mut body = Body::new(&b"HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nbusy"[..]);
        let error = body.read_head().await.unwrap_err().to_string();
        assert_eq!(error, "status 503: busy");
    }
}
