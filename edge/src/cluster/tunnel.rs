//! A WebSocket of a session that another edge has: after the handshake, which that edge answers, bytes pass both ways.
//! An idle tunnel holds no buffer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bytes::{Buf as _, Bytes};
use hyper::client::conn::http1;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use shared::limits::{CLUSTER_CONNECT_TIMEOUT, WS_CLOSE_TIMEOUT};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;
use tracing::debug;

use super::signature::HEADER;
use super::{Host, Unanswered};
use crate::server::{self, Peer};
use crate::websocket::scratch;

/// Asks the edge at `address` for the WebSocket, and if that opens it, stands between it and the client.
pub(super) async fn open(
    address: &str,
    mut request: Request,
    signature: HeaderValue,
    host: &Host,
) -> Result<Response, Unanswered> {
    let client = hyper::upgrade::on(&mut request);
    let peer = request.extensions().get::<Peer>().cloned();
    let mut response = ask(address, request, signature, host).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(response.map(Body::new));
    }
    let edge = hyper::upgrade::on(&mut response);
    let mut answer = StatusCode::SWITCHING_PROTOCOLS.into_response();
    *answer.headers_mut() = response.headers().clone();
    drop(response);
    let drain = host.drain.clone();
    host.tasks.spawn(async move {
        if let Some((client, edge)) = both(client, edge).await {
            tokio::select! {
                () = pass(client, edge) => {}
                // The client comes back to an edge that stays.
                () = drain.cancelled() => {}
            }
        }
        // The connection's place among those that this edge may have is free again.
        drop(peer);
    });
    Ok(answer)
}

async fn ask(
    address: &str,
    request: Request,
    signature: HeaderValue,
    host: &Host,
) -> Result<Response<hyper::body::Incoming>, Unanswered> {
    let connecting = tokio::time::timeout(CLUSTER_CONNECT_TIMEOUT, TcpStream::connect(address));
    let stream = connecting.await.map_err(|_| Unanswered::Late)?;
    let stream = stream.map_err(Unanswered::Unreachable)?;
    server::prepare(&stream, host.peer_timeout).map_err(Unanswered::Unreachable)?;
    let (mut sender, connection) = http1::handshake::<_, Body>(TokioIo::new(stream)).await?;
    host.tasks.spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            debug!(%error, "a connection to another edge ended early");
        }
    });
    let (parts, _) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut forwarded = Request::new(Body::empty());
    *forwarded.method_mut() = parts.method;
    *forwarded.uri_mut() = path.parse().map_err(axum::http::Error::from)?;
    *forwarded.headers_mut() = parts.headers;
    forwarded.headers_mut().insert(HEADER, signature);
    let answer = tokio::time::timeout(host.answer_timeout, sender.send_request(forwarded)).await;
    Ok(answer.map_err(|_| Unanswered::Late)??)
}

/// One side of a tunnel: its connection, and what was read from it already.
struct Side {
    stream: TcpStream,
    ahead: Bytes,
}

async fn both(client: OnUpgrade, edge: OnUpgrade) -> Option<(Side, Side)> {
    let (client, edge) = match futures_util::future::try_join(client, edge).await {
        Ok(both) => both,
        Err(error) => {
            debug!(%error, "a connection went away during the handshake");
            return None;
        }
    };
    let (stream, ahead) = server::into_tcp(client)?;
    Some((Side { stream, ahead }, edge_side(edge)?))
}

fn edge_side(upgraded: Upgraded) -> Option<Side> {
    let parts = upgraded.downcast::<TokioIo<TcpStream>>().ok()?;
    Some(Side {
        stream: parts.io.into_inner(),
        ahead: parts.read_buf,
    })
}

/// Passes bytes both ways until both sides have ended. When one has, the other may go on only for a while.
async fn pass(mut one: Side, mut other: Side) {
    let mut there = Way::new(std::mem::take(&mut one.ahead));
    let mut back = Way::new(std::mem::take(&mut other.ahead));
    let ended = std::future::poll_fn(|cx| {
        let there = there.poll(cx, &mut one.stream, &mut other.stream);
        let back = back.poll(cx, &mut other.stream, &mut one.stream);
        match (there, back) {
            (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => Poll::Ready(true),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(true),
            (Poll::Pending, Poll::Pending) => Poll::Pending,
            _ => Poll::Ready(false),
        }
    });
    if ended.await {
        return;
    }
    let rest = std::future::poll_fn(|cx| {
        let there = there.poll(cx, &mut one.stream, &mut other.stream);
        let back = back.poll(cx, &mut other.stream, &mut one.stream);
        match (there, back) {
            (Poll::Ready(Ok(())), Poll::Pending) | (Poll::Pending, Poll::Ready(Ok(()))) => Poll::Pending,
            (Poll::Pending, Poll::Pending) => Poll::Pending,
            _ => Poll::Ready(()),
        }
    });
    // Whoever does not end by itself is ended.
    let _ = tokio::time::timeout(WS_CLOSE_TIMEOUT, rest).await;
}

/// One direction.
struct Way {
    /// Read, and not written yet.
    pending: Bytes,
    ended: bool,
    done: bool,
}

impl Way {
    fn new(pending: Bytes) -> Self {
        Self {
            pending,
            ended: false,
            done: false,
        }
    }

    /// Ready when `from` has ended and everything of it, its end included, is with `to`.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut TcpStream,
        to: &mut TcpStream,
    ) -> Poll<io::Result<()>> {
        while !self.done {
            while !self.pending.is_empty() {
                let count = ready!(Pin::new(&mut *to).poll_write(cx, &self.pending))?;
                if count == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.pending.advance(count);
            }
            // An empty piece would hold on to the buffer it was cut from.
            self.pending = Bytes::new();
            if self.ended {
                ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                self.done = true;
            } else {
                ready!(self.poll_read(cx, from, to))?;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads, and writes at once as much as can be; the rest is kept.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut TcpStream,
        to: &mut TcpStream,
    ) -> Poll<io::Result<()>> {
        scratch::with(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(from).poll_read(cx, &mut buffer))?;
            let bytes = buffer.filled();
            self.ended = bytes.is_empty();
            let written = match Pin::new(to).poll_write(cx, bytes) {
                Poll::Ready(written) => written?,
                Poll::Pending => 0,
            };
            self.pending = Bytes::copy_from_slice(&bytes[written..]);
            Poll::Ready(Ok(()))
        })
    }
}
