//! The TCP socket under a connection: its options, and a close that does not destroy the last answer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use shared::limits::{LINGER, SOCKET_UNSENT_BYTES_MAX};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// Bytes that one read of a lingering close discards.
const DISCARD_BYTES: usize = 16 * 1024;

/// A TCP stream that lingers: closing a socket whose receive queue holds something makes the kernel send a reset,
/// and a reset destroys what the peer has not read yet, such as the answer that its upload is too large. So a
/// shutdown says goodbye first, then discards what still arrives for a bounded time.
pub(super) struct Socket {
    stream: TcpStream,
    lingering: Option<Pin<Box<Sleep>>>,
    patience: Arc<Patience>,
    /// Set while the peer takes nothing: until when it may.
    stalled: Option<Pin<Box<Sleep>>>,
}

/// How long a peer may take nothing of what is written to it.
#[derive(Debug, Default)]
pub(super) struct Patience(AtomicU64);

impl Patience {
    /// Zero is for ever, which means: as long as the system waits, `limits.peer_timeout`.
    pub(super) fn set(&self, patience: Duration) {
        let ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        self.0.store(ms, Ordering::Relaxed);
    }

    fn get(&self) -> Option<Duration> {
        let ms = self.0.load(Ordering::Relaxed);
        (ms > 0).then(|| Duration::from_millis(ms))
    }
}

impl Socket {
    /// A stream with the options that [`prepare`] sets.
    pub(super) fn new(
        stream: TcpStream,
        peer_timeout: Duration,
        patience: Arc<Patience>,
    ) -> io::Result<Self> {
        prepare(&stream, peer_timeout)?;
        Ok(Self {
            stream,
            lingering: None,
            patience,
            stalled: None,
        })
    }

    /// What became of a write; one for which there was no room for too long has failed.
    fn written(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let Some(patience) = self.patience.get().filter(|_| written.is_pending()) else {
            self.stalled = None;
            return written;
        };
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

/// Sets the options of a connection: small writes leave at once; a peer that is gone is noticed even if nothing is
/// sent to it; and one that is slow costs the system little memory, so that what it has taken is soon known.
pub(crate) fn prepare(stream: &TcpStream, peer_timeout: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let pause = (peer_timeout / 4).max(Duration::from_secs(1));
    let keepalive = TcpKeepalive::new()
        .with_time(pause)
        .with_interval(pause)
        .with_retries(3);
    socket.set_tcp_keepalive(&keepalive)?;
    // Elsewhere keepalive alone finds dead peers, later, and the system decides how much it holds.
    #[cfg(target_os = "linux")]
    {
        socket.set_tcp_user_timeout(Some(peer_timeout))?;
        socket.set_tcp_notsent_lowat(SOCKET_UNSENT_BYTES_MAX)?;
    }
    Ok(())
}

/// Takes the TCP stream out of an upgraded connection, with the bytes that were read from it already.
///
/// Returns `None` if the connection is not one of this server's.
pub fn into_tcp(upgraded: Upgraded) -> Option<(TcpStream, Bytes)> {
    let parts = upgraded.downcast::<TokioIo<Socket>>().ok()?;
    Some((parts.io.into_inner().stream, parts.read_buf))
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.written(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.written(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.lingering = Some(Box::pin(tokio::time::sleep(LINGER)));
        }
        let mut discarded = [0; DISCARD_BYTES];
        // The time is looked at first, so that a peer that never stops sending does not keep this going.
        while let Some(deadline) = self.lingering.as_mut() {
            if deadline.as_mut().poll(cx).is_ready() {
                break;
            }
            let mut buf = ReadBuf::new(&mut discarded);
            // After the goodbye a failed read is an end like any other.
            let ended = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf)).is_err();
            if ended || buf.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}
