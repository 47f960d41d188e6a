//! The byte stream under a socket: gathers small writes into one, and counts what moves, so that somebody above can
//! tell a slow peer from a dead one. It knows nothing of frames.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use shared::limits::WS_WRITE_BUFFER_BYTES;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Frames are written as a header and a payload each. Below this many bytes copying a payload is cheaper than
/// handing it to the kernel as a slice of its own.
const COPY_BYTES_MAX: usize = 16 * 1024;

/// A stream with a write buffer that exists only while it holds something.
#[derive(Debug)]
pub(crate) struct Wire<T> {
    io: T,
    read_ahead: Bytes,
    buffer: BytesMut,
    read_bytes: u64,
    blocked: bool,
    writes_resumed: u64,
}

impl<T> Wire<T> {
    /// A stream from which `read_ahead` has been read already.
    pub(crate) fn new(io: T, read_ahead: Bytes) -> Self {
        Self {
            io,
            read_ahead,
            buffer: BytesMut::new(),
            read_bytes: 0,
            blocked: false,
            writes_resumed: 0,
        }
    }

    /// The stream itself.
    pub(crate) fn get_ref(&self) -> &T {
        &self.io
    }

    /// Bytes read so far.
    pub(crate) fn read_bytes(&self) -> u64 {
        self.read_bytes
    }

    /// How often the peer made room after it had left none: the sign that it takes what it is sent.
    pub(crate) fn writes_resumed(&self) -> u64 {
        self.writes_resumed
    }
}

impl<T: AsyncWrite + Unpin> Wire<T> {
    /// Notes what a write to the stream came to.
    fn observe(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Pending => self.blocked = true,
            Poll::Ready(Ok(_)) if std::mem::take(&mut self.blocked) => self.writes_resumed += 1,
            Poll::Ready(_) => {}
        }
        written
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.buffer.is_empty() {
            let written = Pin::new(&mut self.io).poll_write(cx, &self.buffer);
            match ready!(self.observe(written))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.buffer.advance(count),
            }
        }
        // An idle socket keeps no buffer.
        self.buffer = BytesMut::new();
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> Wire<T> {
    /// Writes the buffer and then a part of `large`, together: a frame's header does not travel alone.
    fn poll_write_large(&mut self, cx: &mut Context<'_>, large: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let buffered = self.buffer.len();
            let both = [IoSlice::new(&self.buffer), IoSlice::new(large)];
            let written = Pin::new(&mut self.io).poll_write_vectored(cx, &both);
            let count = ready!(self.observe(written))?;
            self.buffer.advance(count.min(buffered));
            if count == 0 || count > buffered {
                return Poll::Ready(Ok(count.saturating_sub(buffered)));
            }
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Wire<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.read_ahead.is_empty() {
            let count = self.read_ahead.len().min(buffer.remaining());
            buffer.put_slice(&self.read_ahead.split_to(count));
            if self.read_ahead.is_empty() {
                self.read_ahead = Bytes::new();
            }
            self.read_bytes += count as u64;
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buffer);
        self.read_bytes += (buffer.filled().len() - before) as u64;
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Wire<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut taken = 0;
        for slice in slices.iter().filter(|slice| !slice.is_empty()) {
            if slice.len() <= COPY_BYTES_MAX && self.buffer.len() + slice.len() <= WS_WRITE_BUFFER_BYTES {
                self.buffer.extend_from_slice(slice);
                taken += slice.len();
                continue;
            }
            if taken > 0 {
                break;
            }
            if slice.len() > COPY_BYTES_MAX {
                return self.poll_write_large(cx, slice);
            }
            ready!(self.poll_drain(cx))?;
            self.buffer.extend_from_slice(slice);
            return Poll::Ready(Ok(slice.len()));
        }
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test]
    async fn small_writes_wait_for_the_flush_and_leave_no_buffer_behind() {
        let (near, mut far) = duplex(1024);
        let mut wire = Wire::new(near, Bytes::new());
        wire.write_all(b"ab").await.unwrap();
        wire.write_all(b"cd").await.unwrap();
        let mut read = [0; 4];
        let early = tokio::select! {
            biased;
            _ = far.read_exact(&mut read) => true,
            () = std::future::ready(()) => false,
        };
        assert!(!early);
        wire.flush().await.unwrap();
        far.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"abcd");
        assert_eq!(wire.buffer.capacity(), 0);
    }

    #[tokio::test]
    async fn large_and_small_writes_keep_their_order_and_a_peer_that_makes_room_is_noticed() {
        let (near, mut far) = duplex(700);
        let mut wire = Wire::new(near, Bytes::new());
        let parts: Vec<Vec<u8>> = [3, COPY_BYTES_MAX + 5, 1, WS_WRITE_BUFFER_BYTES, 40_000, 2]
            .iter()
            .zip(b'a'..)
            .map(|(len, byte)| vec![byte; *len])
            .collect();
        let expected = parts.concat();
        let reader = tokio::spawn(async move {
            let mut all = Vec::new();
            far.read_to_end(&mut all).await.unwrap();
            all
        });
        for part in &parts {
            wire.write_all(part).await.unwrap();
        }
        wire.shutdown().await.unwrap();
        assert!(wire.writes_resumed() > 0);
        drop(wire);
        assert!(reader.await.unwrap() == expected);
    }

    #[tokio::test]
    async fn what_was_read_ahead_comes_first_and_all_of_it_is_counted() {
        let (near, mut far) = duplex(16);
        let mut wire = Wire::new(near, Bytes::from_static(b"123"));
        far.write_all(b"45").await.unwrap();
        let mut read = [0; 5];
        wire.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"12345");
        assert_eq!(wire.read_bytes(), 5);
    }
}
