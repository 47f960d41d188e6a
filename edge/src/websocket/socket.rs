//! A WebSocket over TCP, after its handshake.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use socket2::SockRef;
use tokio::io::{AsyncRead as _, AsyncWrite as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;

use super::decoder::{Decoder, Incoming};
use super::frame::Breach;
use super::outgoing::{Outgoing, no_slices};
use super::scratch;
use super::traffic::Traffic;

/// One WebSocket, server side. What is to be written is kept by its owner ([`Outgoing`]).
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    decoder: Decoder,
    /// Read, and not looked at yet.
    rest: Bytes,
    read_bytes: u64,
    blocked: bool,
    writes_resumed: u64,
}

/// What came from a socket.
#[derive(Debug)]
pub(crate) enum Received {
    /// A message, or a control frame.
    Incoming(Incoming),
    /// The peer broke the protocol. Nothing else will come.
    Broken(Breach),
    /// The connection is gone.
    Lost(Lost),
}

/// How a connection was lost; `None`: the peer closed it without a close frame.
pub(crate) type Lost = Option<io::Error>;

impl Socket {
    /// Takes over a connection on which the handshake is done and `read_ahead` was read already.
    pub(crate) fn new(stream: TcpStream, read_ahead: Bytes, message_bytes_max: usize) -> Self {
        Self {
            stream,
            decoder: Decoder::new(message_bytes_max),
            read_bytes: read_ahead.len() as u64,
            // An empty piece would hold on to the buffer it was cut from.
            rest: match read_ahead.is_empty() {
                true => Bytes::new(),
                false => read_ahead,
            },
            blocked: false,
            writes_resumed: 0,
        }
    }

    /// The next thing that the peer sent. Cancel-safe.
    pub(crate) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Received> {
        if let Some(received) = self.buffered() {
            return Poll::Ready(received);
        }
        scratch::with(|scratch| {
            loop {
                let mut buffer = ReadBuf::new(scratch);
                if let Err(error) = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
                    return Poll::Ready(Received::Lost(Some(error)));
                }
                let mut input = buffer.filled();
                if input.is_empty() {
                    return Poll::Ready(Received::Lost(None));
                }
                self.read_bytes += input.len() as u64;
                let decoded = self.decoder.decode(&mut input);
                self.rest = Bytes::copy_from_slice(input);
                if let Some(received) = received(decoded) {
                    return Poll::Ready(received);
                }
            }
        })
    }

    /// The next thing that was read already.
    pub(crate) fn buffered(&mut self) -> Option<Received> {
        while !self.rest.is_empty() {
            let mut input = &self.rest[..];
            let decoded = self.decoder.decode(&mut input);
            let used = self.rest.len() - input.len();
            self.keep(used);
            if let Some(received) = received(decoded) {
                return Some(received);
            }
        }
        None
    }

    /// Forgets the part of `rest` that was looked at.
    fn keep(&mut self, used: usize) {
        let rest = self.rest.split_off(used);
        self.rest = match rest.is_empty() {
            true => Bytes::new(),
            false => rest,
        };
    }

    /// Writes until nothing waits any more. Cancel-safe.
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>, out: &mut Outgoing) -> Poll<io::Result<()>> {
        while !out.is_empty() {
            let mut slices = no_slices();
            let used = out.slices(&mut slices);
            let stream = Pin::new(&mut self.stream);
            let written = match &slices[..used] {
                // Costs the kernel less than a list of one.
                [slice] => stream.poll_write(cx, slice),
                slices => stream.poll_write_vectored(cx, slices),
            };
            if written.is_pending() {
                self.blocked = true;
                out.settle_down();
            }
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => out.advance(count),
            }
            if std::mem::take(&mut self.blocked) {
                self.writes_resumed += 1;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// What has moved so far.
    pub(crate) fn traffic(&self, out: &Outgoing, reading: bool) -> Traffic {
        Traffic {
            read_bytes: self.read_bytes,
            writes_resumed: self.writes_resumed,
            sent_bytes: out.sent_bytes(),
            unsent_bytes: out.bytes() as u64,
            reading,
        }
    }

    /// Sends what waits and a close, waits for the peer's, and ends the connection; all that within `patience`.
    pub(crate) async fn close(mut self, mut out: Outgoing, code: u16, reason: &str, patience: Duration) {
        out.push_close(code, reason);
        // Whether the peer took part or not, the connection ends here.
        let _ = tokio::time::timeout(patience, self.close_in_order(out)).await;
    }

    async fn close_in_order(&mut self, mut out: Outgoing) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_send(cx, &mut out)).await?;
        drop(out);
        while !self.decoder.is_over() {
            match std::future::poll_fn(|cx| self.poll_receive(cx)).await {
                Received::Incoming(_) => {}
                Received::Broken(_) => break,
                Received::Lost(_) => return Ok(()),
            }
        }
        // Bytes that nobody has read make the kernel reset the connection, and a reset overtakes the close frame.
        self.stream.shutdown().await?;
        std::future::poll_fn(|cx| self.poll_discard(cx)).await
    }

    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        scratch::with(|scratch| {
            loop {
                let mut buffer = ReadBuf::new(scratch);
                ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
                if buffer.filled().is_empty() {
                    return Poll::Ready(Ok(()));
                }
            }
        })
    }

    /// Drops the connection and what waits in the kernel for a peer that takes nothing.
    pub(crate) fn abort(self) {
        // Without the option the kernel would only go on trying for a while.
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }
}

fn received(decoded: Result<Option<Incoming>, Breach>) -> Option<Received> {
    match decoded {
        Ok(incoming) => incoming.map(Received::Incoming),
        Err(breach) => Some(Received::Broken(breach)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::future::poll_fn;

    use super::*;
    use crate::websocket::testing::client_frame;
    use crate::websocket::{Opcode, Piece};
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    /// A socket that has read `ahead`, and its peer.
    async fn pair(ahead: Vec<u8>) -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        (Socket::new(stream, ahead.into(), 1 << 20), peer)
    }

    async fn receive(socket: &mut Socket) -> Incoming {
        match poll_fn(|cx| socket.poll_receive(cx)).await {
            Received::Incoming(incoming) => incoming,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn what_was_read_ahead_comes_first_and_nothing_is_kept_when_all_is_read() {
        let frames: Vec<Vec<u8>> = [&b"one"[..], b"two", b"three"]
            .iter()
            .map(|text| client_frame(0x81, text))
            .collect();
        let bytes = frames.concat();
        // The second frame is cut.
        let (ahead, rest) = bytes.split_at(frames[0].len() + 4);
        let (mut socket, mut peer) = pair(ahead.to_vec()).await;
        peer.write_all(rest).await.unwrap();
        for text in ["one", "two", "three"] {
            assert_eq!(
                receive(&mut socket).await,
                Incoming::Text(Bytes::from_static(text.as_bytes()))
            );
        }
        assert_eq!(socket.read_bytes, bytes.len() as u64);
        assert!(socket.rest.is_empty());
        drop(peer);
        let end = poll_fn(|cx| socket.poll_receive(cx)).await;
        assert!(matches!(end, Received::Lost(None)), "{end:?}");
    }

    #[tokio::test]
    async fn a_peer_that_reads_slowly_gets_everything_and_is_seen_to_take_it() {
        let (mut socket, mut peer) = pair(Vec::new()).await;
        let mut out = Outgoing::default();
        let large = Bytes::from(vec![b'l'; 900_000]);
        for _ in 0..20 {
            let pieces = [Piece::Copied(b"small"), Piece::Shared(&large)];
            out.push(Opcode::Binary, pieces.into_iter());
            out.push(Opcode::Text, pieces[..1].iter().copied());
        }
        let expected = out.bytes();
        // More than the kernel takes at once.
        let early = tokio::select! {
            biased;
            _ = poll_fn(|cx| socket.poll_send(cx, &mut out)) => true,
            () = std::future::ready(()) => false,
        };
        assert!(!early);
        let stuck = socket.traffic(&out, true);
        assert!(stuck.unsent());
        let reader = tokio::spawn(async move {
            let mut all = Vec::new();
            peer.read_to_end(&mut all).await.unwrap();
            all
        });
        poll_fn(|cx| socket.poll_send(cx, &mut out)).await.unwrap();
        let free = socket.traffic(&out, true);
        assert!(free.writes_resumed > stuck.writes_resumed && !free.unsent());
        assert_eq!(free.sent_bytes, expected as u64);
        drop(socket);
        let all = reader.await.unwrap();
        assert_eq!(all.len(), expected);
        assert!(all.ends_with(b"small"));
    }
}
