//! Where a session's task is told what concerns it: the one thing that others know of a session.
//!
//! It is no channel, because most sessions are WebSockets that are never told anything: an empty mailbox is a few
//! words. It holds a bounded number of letters.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::answer::GetAnswer;
use crate::server::Peer;
use crate::websocket::Socket;

/// Letters that wait; a client that keeps to the protocol has two at the most.
const LETTERS_MAX: usize = 16;

/// What a session is told.
pub(crate) enum Letter {
    /// A GET waits for its answer.
    Get(oneshot::Sender<GetAnswer>),
    /// A payload was posted. The answer says whether it was one.
    Post(Bytes, oneshot::Sender<PostAnswer>),
    /// Posts overlapped, or one was no payload.
    PostBroken,
    /// A post broke off.
    PostLost,
    /// A WebSocket was opened for this session.
    Opened(Box<Connection>),
    /// The edge stops.
    Drain,
}

/// What became of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PostAnswer {
    /// It was taken.
    Taken,
    /// It was none.
    Broken,
}

/// A WebSocket, and its place among the connections of this edge.
pub(crate) struct Connection {
    pub(crate) socket: Socket,
    pub(crate) peer: Option<Peer>,
}

/// By which transport a session is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TransportKind {
    Polling,
    WebSocket,
}

/// The mailbox of one session.
#[derive(Default)]
pub(crate) struct Mailbox(Mutex<State>);

#[derive(Default)]
struct State {
    letters: Vec<Letter>,
    waker: Option<Waker>,
    on_websocket: bool,
    posting: bool,
    closed: bool,
}

/// The session has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

impl Mailbox {
    /// Leaves a letter and wakes the session.
    pub(crate) fn put(&self, letter: Letter) -> Result<(), Gone> {
        let waker = {
            let mut state = self.state();
            if state.closed || state.letters.len() >= LETTERS_MAX {
                return Err(Gone);
            }
            state.letters.push(letter);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// Takes the letters; if there are none, the task of `waker` is woken by the next.
    pub(crate) fn take(&self, waker: &Waker) -> Vec<Letter> {
        let mut state = self.state();
        match &mut state.waker {
            Some(known) => known.clone_from(waker),
            unknown => *unknown = Some(waker.clone()),
        }
        std::mem::take(&mut state.letters)
    }

    /// By which transport the session is served.
    pub(crate) fn transport(&self) -> TransportKind {
        match self.state().on_websocket {
            true => TransportKind::WebSocket,
            false => TransportKind::Polling,
        }
    }

    /// The session has a WebSocket now.
    pub(crate) fn set_on_websocket(&self) {
        self.state().on_websocket = true;
    }

    /// Begins a post; there can be one at a time.
    pub(crate) fn begin_post(&self) -> Option<Posting<'_>> {
        let begun = !std::mem::replace(&mut self.state().posting, true);
        begun.then(|| Posting {
            mailbox: self,
            done: false,
        })
    }

    /// Takes no letters any more, and drops those that were not read: whoever waits for an answer gets none.
    pub(crate) fn close(&self) {
        let letters = {
            let mut state = self.state();
            state.closed = true;
            state.waker = None;
            std::mem::take(&mut state.letters)
        };
        drop(letters);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing here leaves the state half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A post under way. If it is dropped before it is done, the post broke off.
pub(crate) struct Posting<'a> {
    mailbox: &'a Mailbox,
    done: bool,
}

impl Posting<'_> {
    /// Whatever becomes of it now, it did not break off.
    pub(crate) fn done(&mut self) {
        self.done = true;
    }
}

impl Drop for Posting<'_> {
    fn drop(&mut self) {
        self.mailbox.state().posting = false;
        if !self.done {
            // If the session is gone already there is nothing to end.
            let _ = self.mailbox.put(Letter::PostLost);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn posts_do_not_overlap_and_one_that_breaks_off_is_told() {
        let mailbox = Mailbox::default();
        let mut first = mailbox.begin_post().unwrap();
        assert!(mailbox.begin_post().is_none());
        first.done();
        drop(first);
        assert!(mailbox.take(Waker::noop()).is_empty());
        drop(mailbox.begin_post().unwrap());
        assert!(matches!(mailbox.take(Waker::noop())[..], [Letter::PostLost]));
    }

    #[test]
    fn a_mailbox_is_bounded_and_a_closed_one_answers_nobody() {
        let mailbox = Mailbox::default();
        let (sender, mut receiver) = oneshot::channel();
        mailbox.put(Letter::Get(sender)).unwrap();
        for _ in 1..LETTERS_MAX {
            mailbox.put(Letter::PostBroken).unwrap();
        }
        assert_eq!(mailbox.put(Letter::PostBroken), Err(Gone));
        mailbox.close();
        assert!(receiver.try_recv().is_err());
        assert_eq!(mailbox.put(Letter::PostBroken), Err(Gone));
    }
}
