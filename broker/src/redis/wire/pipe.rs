//! A connection over which many ask at the same time. Requests are written in the order in which they were handed over, all
//! that there are in one go, and replies come in the same order.
//!
//! It has no task of its own: whoever keeps the connection polls its [`Driver`]. A task in between would cost every request
//! two changes of task, which is more than the request itself.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use redis::{Cmd, Value};
use shared::limits::{CONNECT_TIMEOUT, REDIS_PIPE_BYTES_KEPT_MAX, REDIS_PIPE_READ_BYTES};
use tokio::io::AsyncWrite as _;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::timeout;
use tokio_util::io::poll_read_buf;

use super::super::connect::{Connector, Socket};
use super::super::fault::Fault;
use super::connection::Connection;
use super::reply::{self, Scan};
use crate::hub::lock;

/// The replies to come to what was handed over, as they stand. An error means that the connection is gone.
pub(in crate::redis) type Answer = oneshot::Receiver<Vec<u8>>;

/// Takes what the server sends unasked (RESP3, "Pushes"), as it stands. It must not block.
pub(in crate::redis) type Pushes = Box<dyn FnMut(&[u8]) + Send>;

/// Asks over a connection. Cheap to clone.
#[derive(Clone)]
pub(in crate::redis) struct Pipe {
    shared: Arc<Mutex<Shared>>,
}

/// Moves what is to be moved over the connection of a [`Pipe`], which is closed with it.
pub(in crate::redis) struct Driver {
    shared: Arc<Mutex<Shared>>,
    socket: Socket,
    /// What is being written, of which `sent` bytes are.
    sending: Vec<u8>,
    sent: usize,
    /// Whether something may still be held back below.
    unflushed: bool,
    /// What came in and belongs to an answer that is not whole yet. Of its replies those in front are, up to `whole`.
    received: Vec<u8>,
    whole: usize,
    /// Where the reply behind that ends, or the push, as far as it has been looked for.
    scan: Option<Scan>,
    /// The beginning of that answer, if a push came in the middle of it.
    begun: Vec<u8>,
    pushes: Option<Pushes>,
    /// Those who wait, in the order in which they are answered.
    asked: VecDeque<Asked>,
}

/// What was handed over and not seen by the driver yet.
#[derive(Default)]
struct Shared {
    requests: Vec<u8>,
    asked: Vec<Asked>,
    /// Nobody will answer.
    over: bool,
    driver: Option<Waker>,
}

/// Somebody who waits for so many replies, one at the least.
struct Asked {
    replies: usize,
    answer: oneshot::Sender<Vec<u8>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Pipe {
    /// Opens a connection, introduces itself and runs one command. Without `pushes`, none may come.
    pub(in crate::redis) async fn open(
        connector: &Connector,
        first: &Cmd,
        pushes: Option<Pushes>,
    ) -> Result<(Self, Driver, Result<Value, Fault>), Fault> {
        let opening = async {
            let mut connection = Connection::open(connector).await?;
            let reply = connection.run(first).await;
            match reply {
                // Something may be under way that nobody knows what to make of.
                Err(fault) if !connection.is_clean() => Err(fault),
                reply => Ok((connection.into_socket(), reply)),
            }
        };
        let (socket, reply) = timeout(CONNECT_TIMEOUT, opening)
            .await
            .unwrap_or(Err(Fault::Lost("Redis does not answer")))?;
        let shared = Arc::<Mutex<Shared>>::default();
        let driver = Driver {
            shared: Arc::clone(&shared),
            socket,
            sending: Vec::new(),
            sent: 0,
            unflushed: false,
            received: Vec::new(),
            whole: 0,
            scan: None,
            begun: Vec::new(),
            pushes,
            asked: VecDeque::new(),
        };
        Ok((Self { shared }, driver, reply))
    }

    /// Hands over requests. `write` adds them to what is sent and returns how many replies they get. They leave when the driver
    /// is polled, which is for the caller to see to.
    pub(in crate::redis) fn push(&self, write: impl FnOnce(&mut Vec<u8>) -> usize) -> Answer {
        self.push_with(None, write)
    }

    fn push_with(
        &self,
        place: Option<OwnedSemaphorePermit>,
        write: impl FnOnce(&mut Vec<u8>) -> usize,
    ) -> Answer {
        let (answer, receiver) = oneshot::channel();
        let mut shared = lock(&self.shared);
        if !shared.over {
            let replies = write(&mut shared.requests);
            shared.asked.push(Asked {
                replies,
                answer,
                _place: place,
            });
        }
        receiver
    }

    /// Runs commands and brings the reply to each. `place` is kept until they are answered, also if nobody waits any more.
    pub(in crate::redis) async fn ask(
        &self,
        commands: &[&Cmd],
        place: Option<OwnedSemaphorePermit>,
    ) -> Result<Vec<Value>, Fault> {
        let answer = self.push_with(place, |out| {
            for command in commands {
                command.write_packed_command(out);
            }
            commands.len()
        });
        self.wake();
        match answer.await {
            Ok(replies) => reply::values(&replies),
            Err(_) => Err(Fault::CONNECTION_LOST),
        }
    }

    /// Has whoever drives the connection look at it.
    pub(in crate::redis) fn wake(&self) {
        let driver = lock(&self.shared).driver.take();
        if let Some(driver) = driver {
            driver.wake();
        }
    }
}

impl Driver {
    /// Writes and reads what can be written and read. Ready when the connection is gone; whatever was answered by then has
    /// been handed out, and whoever else waits is told.
    pub(in crate::redis) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Fault> {
        let end = self.poll_all(cx);
        if end.is_ready() {
            self.asked.clear();
            lock(&self.shared).end();
        }
        end
    }

    /// Drives a connection that nobody uses for anything new until all who wait are answered, at the longest for so long.
    pub(in crate::redis) async fn finish(mut self: Box<Self>, longest: Duration) {
        let answered = poll_fn(|cx| match self.poll(cx) {
            Poll::Pending if !self.is_answered() => Poll::Pending,
            _ => Poll::Ready(()),
        });
        // Who is not answered by then is told with the end of the connection.
        let _ = timeout(longest, answered).await;
    }

    fn is_answered(&self) -> bool {
        self.asked.is_empty() && lock(&self.shared).asked.is_empty()
    }

    fn poll_all(&mut self, cx: &mut Context<'_>) -> Poll<Fault> {
        lock(&self.shared).remember(cx);
        let written = self.poll_write_all(cx);
        // What was answered before the connection broke is read all the same.
        if let Poll::Ready(lost) = self.poll_read_all(cx) {
            return Poll::Ready(lost);
        }
        match written {
            Poll::Ready(Err(())) => Poll::Ready(Fault::CONNECTION_LOST),
            _ => Poll::Pending,
        }
    }

    fn poll_write_all(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        loop {
            while self.sent < self.sending.len() {
                let rest = &self.sending[self.sent..];
                match ready!(Pin::new(&mut self.socket).poll_write(cx, rest)) {
                    Ok(0) | Err(_) => return Poll::Ready(Err(())),
                    Ok(count) => self.sent += count,
                }
                self.unflushed = true;
            }
            if !self.take_over() {
                break;
            }
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.socket).poll_flush(cx)).map_err(drop)?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Takes over what was handed over since the last time, when everything before is written. Returns whether there was
    /// something.
    fn take_over(&mut self) -> bool {
        self.sent = 0;
        empty(&mut self.sending);
        let mut shared = lock(&self.shared);
        if shared.asked.is_empty() {
            return false;
        }
        std::mem::swap(&mut self.sending, &mut shared.requests);
        self.asked.extend(shared.asked.drain(..));
        true
    }

    /// Ready when nothing more can come.
    fn poll_read_all(&mut self, cx: &mut Context<'_>) -> Poll<Fault> {
        loop {
            self.received.reserve(REDIS_PIPE_READ_BYTES);
            match ready!(poll_read_buf(Pin::new(&mut self.socket), cx, &mut self.received)) {
                Ok(0) | Err(_) => return Poll::Ready(Fault::CONNECTION_LOST),
                Ok(_) => {}
            }
            if self.hand_out().is_err() {
                return Poll::Ready(Fault::CONNECTION_LOST);
            }
        }
    }

    /// Gives whole answers to those who wait for them, and pushes to whoever takes those.
    fn hand_out(&mut self) -> Result<(), Fault> {
        let mut from = 0;
        while let Some(first) = self.received.get(self.whole) {
            let push = *first == b'>';
            let scan = self.scan.get_or_insert_with(|| match push {
                true => Scan::of_push(),
                false => Scan::new(1),
            });
            let Some(length) = scan.advance(&self.received[self.whole..])? else {
                break;
            };
            self.scan = None;
            let begin = self.whole;
            self.whole += length;
            if push {
                let take = self.pushes.as_mut().ok_or(Fault::Malformed)?;
                take(&self.received[begin..self.whole]);
                self.begun.extend_from_slice(&self.received[from..begin]);
                from = self.whole;
                continue;
            }
            // Else nobody has asked for it.
            let oldest = self.asked.front_mut().ok_or(Fault::Malformed)?;
            oldest.replies = oldest.replies.saturating_sub(1);
            if oldest.replies == 0
                && let Some(asked) = self.asked.pop_front()
            {
                let mut answer = std::mem::take(&mut self.begun);
                answer.extend_from_slice(&self.received[from..self.whole]);
                from = self.whole;
                // Who does not wait any more is not told.
                let _ = asked.answer.send(answer);
            }
        }
        self.whole -= from;
        if from == self.received.len() {
            empty(&mut self.received);
        } else {
            self.received.drain(..from);
        }
        Ok(())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        lock(&self.shared).end();
    }
}

impl Shared {
    /// The task is woken when somebody asks.
    fn remember(&mut self, cx: &mut Context<'_>) {
        match &self.driver {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            _ => self.driver = Some(cx.waker().clone()),
        }
    }

    fn end(&mut self) {
        self.over = true;
        self.requests = Vec::new();
        self.asked.clear();
    }
}

/// Empties a buffer, which keeps its memory unless that is much.
fn empty(buffer: &mut Vec<u8>) {
    buffer.clear();
    if buffer.capacity() > REDIS_PIPE_BYTES_KEPT_MAX {
        *buffer = Vec::new();
    }
}

#[cfg(test)]
pub(super) mod tests;
