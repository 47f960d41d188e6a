//! The attempt to go on over WebSocket.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::websocket::WebSocket;
use super::{BoxFuture, Packet};
use crate::client::Options;

/// A second transport beside the one that works.
pub(super) enum Probe {
    /// It is being opened.
    Connecting(BoxFuture<io::Result<WebSocket>>),
    /// The server was asked whether it hears us.
    Asking(Box<WebSocket>, VecDeque<Packet>),
    /// It does; the old transport comes to rest.
    Answered(Box<WebSocket>),
}

/// What became of it.
pub(super) enum Progress {
    Pending,
    /// The server answers; told once.
    Answered,
    /// The old transport is at rest: this one takes over.
    Ready,
    /// It does not work; if the old transport was paused, it stays so.
    Failed,
}

impl Probe {
    pub(super) fn start(options: Arc<Options>, sid: String) -> Self {
        Self::Connecting(Box::pin(
            async move { WebSocket::connect(&options, Some(&sid)).await },
        ))
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>, paused: bool) -> Progress {
        if let Self::Connecting(connecting) = self {
            match connecting.as_mut().poll(cx) {
                Poll::Pending => return Progress::Pending,
                Poll::Ready(Err(_)) => return Progress::Failed,
                Poll::Ready(Ok(socket)) => {
                    let question = VecDeque::from([Packet::Ping(Bytes::from_static(b"probe"))]);
                    *self = Self::Asking(Box::new(socket), question);
                }
            }
        }
        if let Self::Asking(socket, question) = self {
            if let Poll::Ready(Err(_)) = socket.poll_send(cx, question) {
                return Progress::Failed;
            }
            return match socket.poll_receive(cx) {
                Poll::Pending => Progress::Pending,
                Poll::Ready(Ok(Packet::Pong(data))) if data == "probe" => self.answered(),
                Poll::Ready(_) => Progress::Failed,
            };
        }
        if let Self::Answered(socket) = self {
            if paused {
                return Progress::Ready;
            }
            // Nothing is to arrive before we say that we change over: it can only be the end.
            if socket.poll_receive(cx).is_ready() {
                return Progress::Failed;
            }
        }
        Progress::Pending
    }

    fn answered(&mut self) -> Progress {
        let before = std::mem::replace(self, Self::Connecting(Box::pin(std::future::pending())));
        if let Some(socket) = before.into_socket() {
            *self = Self::Answered(Box::new(socket));
        }
        Progress::Answered
    }

    pub(super) fn into_socket(self) -> Option<WebSocket> {
        match self {
            Self::Connecting(_) => None,
            Self::Asking(socket, _) | Self::Answered(socket) => Some(*socket),
        }
    }
}
