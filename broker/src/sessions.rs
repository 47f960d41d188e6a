//! Records of sessions that outlive the edge that serves them: any edge can take a session over and go on with it.
//!
//! What a record says is for the edge alone; here it is bytes. A record has a time to live, so that sessions whose
//! clients never come back go by themselves, and a [`Generation`], so that of two edges which both believe to serve a
//! session the one that took it over last is right.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use shared::SessionId;
use shared::limits::SESSION_RECORD_BYTES_MAX;

use crate::Unavailable;

/// A call about a session. It begins when it is polled first; dropping it later does not take it back.
pub type SessionCall<T> = BoxFuture<'static, Result<T, SessionError>>;

/// The records of sessions. Every call fails fast with [`SessionError::Unavailable`] while the log is away.
pub trait Sessions: Send + Sync + 'static {
    /// Stores the record of a new session. `id` must be fresh.
    fn create(&self, id: &SessionId, record: Bytes, ttl: Duration) -> SessionCall<Generation>;

    /// Takes a session over from whoever serves it: its record, and a generation above every earlier one. `None`: there
    /// is no such session, or it has expired.
    fn take_over(&self, id: &SessionId, ttl: Duration) -> SessionCall<Option<Taken>>;

    /// Replaces the record of a session that is served under `generation`. A record that is gone is stored anew.
    fn save(
        &self,
        id: &SessionId,
        generation: Generation,
        record: Bytes,
        ttl: Duration,
    ) -> SessionCall<Saved>;

    /// Lets a session live for another `ttl` from now. Cheap, whatever the size of the record.
    fn touch(&self, id: &SessionId, ttl: Duration) -> SessionCall<Touched>;

    /// Forgets a session that is served under `generation`; one that was taken over stays.
    fn end(&self, id: &SessionId, generation: Generation) -> SessionCall<()>;
}

/// How often a session was taken over, so to speak: a number that each take-over raises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub(crate) u64);

impl Generation {
    /// Of a session that was never taken over.
    pub(crate) const FIRST: Self = Self(1);
}

/// A session that was taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Under what it is served from now on.
    pub generation: Generation,
    /// What was stored last.
    pub record: Bytes,
}

/// The outcome of [`Sessions::save`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved {
    /// The record is stored.
    Saved,
    /// Somebody else has taken the session over; nothing was stored.
    TakenOver,
}

/// The outcome of [`Sessions::touch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touched {
    /// It lives on.
    Known,
    /// There is no record (any more): whoever serves the session saves it again.
    Gone,
}

/// Why a call about a session failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The log cannot be reached, does not answer, or has no room. Whether the call was done is not known.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The record exceeds the limit.
    #[error("the record of the session has {size_bytes} bytes, the limit is {SESSION_RECORD_BYTES_MAX}")]
    TooLarge {
        /// What it has.
        size_bytes: usize,
    },
    /// The server refused the command; trying again does not help.
    #[error("the log refused the session: {0}")]
    Refused(String),
}

/// Refuses a record that is too large.
pub(crate) fn admit(record: &Bytes) -> Result<(), SessionError> {
    let size_bytes = record.len();
    if size_bytes > SESSION_RECORD_BYTES_MAX {
        return Err(SessionError::TooLarge { size_bytes });
    }
    Ok(())
}
