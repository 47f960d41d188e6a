//! The log as an edge sees it: the trait both engines implement, and what goes in and out.

use std::fmt;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use shared::limits::{DATA_BYTES_MAX, IDEMPOTENCY_KEY_BYTES_MAX};
use shared::{Cursor, Entry, EntryId, Event, StreamName, Text, Verdict};
use tokio::sync::oneshot;
use tokio::task::coop::{Unconstrained, unconstrained};

use crate::{AppendError, Durability, Edges, EphemeralError, Hub, Part, ReadError, Sessions, Unavailable};

/// Streams that are appended to, read and followed.
#[async_trait]
pub trait Log: Send + Sync + 'static {
    /// Hands in events for one stream, in order. Returns once they have their place in the bounded queue, which is
    /// where a fast publisher is slowed down; the [`Receipt`] brings the outcome of each.
    ///
    /// Events of one stream are appended in the order in which they were submitted, if the same durability is asked for
    /// them. Of two with different ones the second comes after the first only if it is submitted once that is settled.
    async fn submit(&self, stream: &StreamName, events: Vec<NewEvent>) -> Result<Receipt, AppendError>;

    /// Reads one page. The page, its head and its verdict are one consistent view.
    async fn read(&self, stream: &StreamName, request: &ReadRequest) -> Result<Page, ReadError>;

    /// [`Log::read`]; while the log is away, what this process remembers of the stream, where that answers the request. Such a
    /// page says that it is `degraded`.
    async fn read_or_recall(&self, stream: &StreamName, request: &ReadRequest) -> Result<Page, ReadError> {
        let recall = || self.hub().channel(stream)?.recall(request);
        // Before it is asked: an answer may be long in coming.
        if let Some(page) = recall() {
            return Ok(page);
        }
        match self.read(stream, request).await {
            Err(ReadError::Unavailable(away)) => recall().ok_or(ReadError::Unavailable(away)),
            done => done,
        }
    }

    /// Sends an event to the subscribers of `stream` on all edges that ask for such events and are ready to take it now.
    /// It is stored nowhere, and nobody is told whether or to whom it came. Returns at once, with the event on its way;
    /// one that cannot be sent now is dropped, as its worth is in being new.
    fn send_ephemeral(&self, stream: &StreamName, event: Event) -> Result<(), EphemeralError>;

    /// The records of sessions.
    fn sessions(&self) -> &Arc<dyn Sessions>;

    /// The edges that share this log.
    fn edges(&self) -> &Arc<dyn Edges>;

    /// Whether this process can append and tail right now.
    async fn check(&self) -> Result<(), Unavailable>;

    /// What of the log works, as far as is known without asking it. A log in this process has no parts.
    fn parts(&self) -> Vec<Part> {
        Vec::new()
    }

    /// The live side.
    fn hub(&self) -> &Arc<Hub>;

    /// Appends one event and waits for the answer.
    async fn append(&self, stream: &StreamName, event: NewEvent) -> Result<Appended, AppendError> {
        let mut results = self.submit(stream, vec![event]).await?.await;
        results.pop().unwrap_or(Err(AppendError::Unconfirmed))
    }
}

/// Limits that both engines apply to what is appended.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of one event, all parts together.
    pub event_bytes_max: usize,
    /// How long an idempotency key is remembered.
    pub idempotency_window: std::time::Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            event_bytes_max: DATA_BYTES_MAX,
            idempotency_window: shared::limits::IDEMPOTENCY_WINDOW,
        }
    }
}

/// An event to append.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// The event.
    pub event: Event,
    /// With a key, a second append of the same key to the same stream within the window adds nothing and returns
    /// what the first one did.
    pub key: Option<IdempotencyKey>,
    /// How safe it must be before it is acknowledged; `None`: as the engine is set to.
    pub durability: Option<Durability>,
}

impl NewEvent {
    /// An event without a key.
    pub fn new(event: Event) -> Self {
        Self {
            event,
            key: None,
            durability: None,
        }
    }
}

/// Names one append, chosen by the publisher: 1 to 200 bytes of printable ASCII.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct IdempotencyKey(Text);

impl IdempotencyKey {
    /// The key as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for IdempotencyKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&text.len());
        if fits && text.bytes().all(|b| (b' '..=b'~').contains(&b)) {
            Ok(Self(Text::from(text)))
        } else {
            Err(KeyError)
        }
    }
}

/// The text is not an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an idempotency key has 1 to {IDEMPOTENCY_KEY_BYTES_MAX} printable ASCII characters")]
pub struct KeyError;

/// Where an event went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The entry's position: its ID and ordinal. Resuming there delivers what comes after it.
    pub cursor: Cursor,
    /// Whether the idempotency key was known, so that nothing was added.
    pub duplicate: bool,
}

impl Appended {
    /// Appends `{"id","cursor","duplicate"?}`.
    pub fn push_json(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        self.push_members(out);
        out.push(b'}');
    }

    /// Appends `"id","cursor","duplicate"?`, for an object that says more. By hand, because this is done for every event that
    /// is published.
    pub fn push_members(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\"id\":\"");
        Cursor::bare(self.cursor.id).push_to(out);
        out.extend_from_slice(b"\",\"cursor\":\"");
        self.cursor.push_to(out);
        out.push(b'"');
        if self.duplicate {
            out.extend_from_slice(b",\"duplicate\":true");
        }
    }
}

/// The outcome of [`Log::submit`]: one result per event, in order. Dropping it does not take the events back.
pub struct Receipt(Unconstrained<oneshot::Receiver<Vec<Result<Appended, AppendError>>>>);

impl Receipt {
    /// A receipt and the sender that an engine completes it with. If the sender is dropped the outcome is
    /// [`AppendError::Unconfirmed`].
    pub fn new() -> (oneshot::Sender<Vec<Result<Appended, AppendError>>>, Self) {
        let (sender, receiver) = oneshot::channel();
        // It is over when it is ready, so it keeps nobody from their turn; and who looks at many of them is not to look again and again
        // because the budget of a task does not reach to the last.
        (sender, Self(unconstrained(receiver)))
    }

    /// A receipt whose outcome is there already.
    pub fn ready(results: Vec<Result<Appended, AppendError>>) -> Self {
        let (sender, receipt) = Self::new();
        // The receiver is in `receipt`, so the send cannot fail.
        let _ = sender.send(results);
        receipt
    }
}

impl Future for Receipt {
    type Output = Vec<Result<Appended, AppendError>>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(cx)
            .map(|r| r.unwrap_or_else(|_| vec![Err(AppendError::Unconfirmed)]))
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receipt")
    }
}

/// Where a forward read or a subscription begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// After a cursor or a bare entry ID.
    Cursor(Cursor),
    /// Before the first entry ever added: same as [`Cursor::START`].
    Start,
    /// After the last entry.
    Now,
    /// With the last so many entries.
    Last(usize),
    /// With the first entry at or after this ID (a time in milliseconds, sequence 0).
    Since(EntryId),
}

/// Which way a page is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Oldest first.
    Forward(From),
    /// Newest first: the entries before `before`, or all of them, down to and including `since`.
    Backward {
        /// Exclusive upper end; `None` begins at the last entry.
        before: Option<Cursor>,
        /// Inclusive lower end.
        since: Option<EntryId>,
    },
}

/// What page to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadRequest {
    /// Where to begin, and which way.
    pub direction: Direction,
    /// Inclusive upper end.
    pub until: Option<EntryId>,
    /// Entries at the most; clamped to 1 ..= [`shared::limits::PAGE_ENTRIES_MAX`].
    pub limit: usize,
}

impl ReadRequest {
    /// A forward page with no upper end.
    pub fn forward(from: From, limit: usize) -> Self {
        Self {
            direction: Direction::Forward(from),
            until: None,
            limit,
        }
    }
}

/// One page of a stream.
#[derive(Debug, Clone)]
pub struct Page {
    /// The entries, in the order in which they were read.
    pub entries: Vec<Arc<Entry>>,
    /// Where to go on from, in the same direction.
    pub cursor: Cursor,
    /// The position after the last entry of the stream.
    pub head: Cursor,
    /// Whether there was nothing further to read in this direction, within the asked range.
    pub tail_reached: bool,
    /// What is missing between the asked position and the first entry of this page.
    ///
    /// Backward, a gap is told by the page that reaches the oldest entry: so many older ones are gone.
    pub verdict: Verdict,
    /// Whether the log was away, and this is what the ring of the stream holds of it: what was there when it was seen last.
    pub degraded: bool,
}

impl Page {
    /// This page as if `count` entries had been asked for: one at the least and fewer than it has.
    pub(crate) fn first(&self, count: usize) -> Self {
        let entries = self.entries[..count].to_vec();
        Self {
            cursor: entries.last().map_or(self.cursor, |last| last.cursor),
            entries,
            tail_reached: false,
            ..*self
        }
    }
}
