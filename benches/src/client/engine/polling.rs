//! Engine.IO over HTTP long-polling: one GET waits at a time, and one POST sends.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;

use super::http::Http;
use super::{BoxFuture, Handshake, Packet, target};
use crate::client::{Options, invalid};

/// How long what is left to be said may take after the end.
const FAREWELL: Duration = Duration::from_secs(5);

type Exchange = BoxFuture<io::Result<Bytes>>;

pub(super) struct Polling {
    http: Http,
    target: String,
    payload_bytes_max: usize,
    get: Option<Exchange>,
    post: Option<Exchange>,
    /// No further GET is to follow.
    pausing: bool,
}

impl Polling {
    /// Opens a session; and the packets that came with the handshake.
    pub(super) async fn open(options: &Arc<Options>) -> io::Result<(Self, Handshake, Vec<Packet>)> {
        let http = Http::new(options.clone());
        let body = http
            .clone()
            .exchange(Method::GET, target(options, "polling", None), Bytes::new())
            .await?;
        let mut packets = Packet::of_payload(&body)?;
        let Packet::Open(json) = packets.remove(0) else {
            return Err(invalid("first packet"));
        };
        let handshake = Handshake::parse(&json)?;
        let polling = Self {
            target: target(options, "polling", Some(&handshake.sid)),
            payload_bytes_max: handshake.payload_bytes_max,
            http,
            get: None,
            post: None,
            pausing: false,
        };
        Ok((polling, handshake, packets))
    }

    fn exchange(&self, method: Method, body: Bytes) -> Exchange {
        Box::pin(self.http.clone().exchange(method, self.target.clone(), body))
    }

    /// The packets of the next answer.
    pub(super) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Vec<Packet>>> {
        if self.get.is_none() {
            if self.pausing {
                return Poll::Pending;
            }
            self.get = Some(self.exchange(Method::GET, Bytes::new()));
        }
        let Some(get) = &mut self.get else {
            return Poll::Pending;
        };
        let answer = ready!(get.as_mut().poll(cx));
        self.get = None;
        Poll::Ready(answer.and_then(|body| Packet::of_payload(&body)))
    }

    /// Sends what waits; ready once everything has been taken by the server.
    pub(super) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        packets: &mut VecDeque<Packet>,
    ) -> Poll<io::Result<()>> {
        loop {
            if let Some(post) = &mut self.post {
                let answer = ready!(post.as_mut().poll(cx));
                self.post = None;
                answer?;
            }
            match Packet::payload(packets, self.payload_bytes_max) {
                Some(payload) => self.post = Some(self.exchange(Method::POST, payload.into())),
                None => return Poll::Ready(Ok(())),
            }
        }
    }

    /// No further GET is sent, so that no packet is under way when the transport changes.
    pub(super) fn pause(&mut self) {
        self.pausing = true;
    }

    /// Whether nothing is under way any more.
    pub(super) fn is_paused(&self) -> bool {
        self.pausing && self.get.is_none() && self.post.is_none()
    }

    /// Leaves the session. What is under way is not taken back. The server is told, unless it was the one that ended the
    /// session, or the transport is paused.
    pub(super) fn leave(self, ended_by_server: bool) -> BoxFuture<()> {
        let goodbye = (!self.pausing && !ended_by_server)
            .then(|| self.exchange(Method::POST, Bytes::from_static(b"1")));
        let mut left: Vec<Exchange> = [self.get, self.post, goodbye].into_iter().flatten().collect();
        Box::pin(async move {
            let all = std::future::poll_fn(move |cx| {
                left.retain_mut(|exchange| Pin::new(exchange).poll(cx).is_pending());
                if left.is_empty() {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            });
            // Nobody waits for the answers.
            let _ = tokio::time::timeout(FAREWELL, all).await;
        })
    }
}
