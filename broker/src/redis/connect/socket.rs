//! The socket under every connection to Redis: TCP, TLS over TCP, or a Unix socket, with the settings that all of them
//! have; and how all sockets to a server are cut that is not the right one any more.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::select_ok;
use redis::io::tcp::socket2::{SockRef, TcpKeepalive};
use rustls::pki_types::ServerName;
use shared::limits::{REDIS_KEEPALIVE_IDLE, REDIS_KEEPALIVE_INTERVAL, REDIS_UNACKNOWLEDGED_MAX};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::url::{Node, Place};

/// Bytes both ways.
trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for S {}

/// An open socket.
pub(in crate::redis) struct Socket {
    stream: Box<dyn Stream>,
    /// Done once it is cut.
    cut: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl Socket {
    /// Opens a socket. The caller sees to it that this does not take too long.
    pub(super) async fn open(place: &Place, tls: Option<&TlsConnector>) -> io::Result<Self> {
        let stream: Box<dyn Stream> = match (place, tls) {
            (Place::Tcp(node), None) => Box::new(tcp(node).await?),
            (Place::Tcp(node), Some(tls)) => {
                let name = ServerName::try_from(node.host.clone()).map_err(io::Error::other)?;
                Box::new(tls.connect(name, tcp(node).await?).await?)
            }
            (Place::Unix(path), _) => Box::new(UnixStream::connect(path).await?),
        };
        Ok(Self { stream, cut: None })
    }

    /// Ends it when `cut` is cancelled: nothing is read from it or written to it any more, as if it had been lost.
    pub(super) fn until(self, cut: CancellationToken) -> Self {
        Self {
            cut: Some(Box::pin(cut.cancelled_owned())),
            ..self
        }
    }

    /// Whether it is cut; else wakes the task once it is.
    fn poll_cut(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if let Some(cut) = &mut self.cut
            && cut.as_mut().poll(context).is_ready()
        {
            return Err(io::Error::new(
                io::ErrorKind::ConnectionReset,
                "another server is the master now",
            ));
        }
        Ok(())
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_cut(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_cut(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Small packets leave at once, and a peer that vanished without a word is noticed. Of several addresses the one counts
/// that answers first.
async fn tcp(node: &Node) -> io::Result<TcpStream> {
    let addresses = tokio::net::lookup_host((node.host.as_str(), node.port)).await?;
    let attempts: Vec<_> = addresses
        .map(|address| Box::pin(TcpStream::connect(address)))
        .collect();
    if attempts.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    let (stream, _) = select_ok(attempts).await?;
    let socket = SockRef::from(&stream);
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(REDIS_KEEPALIVE_IDLE)
        .with_interval(REDIS_KEEPALIVE_INTERVAL);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(REDIS_UNACKNOWLEDGED_MAX))?;
    Ok(stream)
}
