//! What can go wrong with the log, one enum per operation. Both engines answer with the same errors.
//!
//! The texts are for users: what happened and what to do. They hold no addresses, keys or replies of the server;
//! those go to the log of the process.

/// The log cannot be reached or does not answer. The caller may try again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the log is not available right now ({0}); try again")]
pub struct Unavailable(pub String);

/// Why an append failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Certainly not appended: the log could not be reached.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The answer was lost: the event may have been appended or not.
    #[error(
        "the answer of the log was lost, the event may have been appended; publish it again with an idempotency key"
    )]
    Unconfirmed,
    /// The event is in the log, but not as safe as was asked. Appended again without an idempotency key, it is in the log twice.
    #[error(
        "the event is in the log, but not as durable as asked: {why}; publish it again with the same idempotency key to wait once more"
    )]
    NotDurable {
        /// Where it is.
        appended: crate::Appended,
        /// What is missing.
        why: String,
    },
    /// The event's parts together exceed the limit.
    #[error("the event has {size_bytes} bytes, the limit is {limit_bytes}")]
    TooLarge {
        /// What it has.
        size_bytes: usize,
        /// What it may have.
        limit_bytes: usize,
    },
    /// The server has no memory left, or the engine's bound is reached. Certainly not appended.
    #[error("the log is full; raise its memory limit or shorten the retention of its streams")]
    Full,
    /// The key of the stream holds something that is no stream.
    #[error("the key of this stream holds another type of value; choose another stream name")]
    WrongType,
    /// The server refused the command.
    #[error("the log refused the append: {0}")]
    Refused(String),
    /// The log is shutting down. Certainly not appended.
    #[error("the log is shutting down; publish to another edge")]
    Closed,
}

impl AppendError {
    /// Whether the same append may succeed when it is tried again. [`NotDurable`](Self::NotDurable) is not among them: it
    /// may be tried again only with an idempotency key.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_) | Self::Unconfirmed | Self::Full | Self::Closed
        )
    }
}

/// Why a read or a subscription failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The log cannot be reached.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The key of the stream holds something that is no stream.
    #[error("the key of this stream holds another type of value; choose another stream name")]
    WrongType,
    /// The server refused the command.
    #[error("the log refused the read: {0}")]
    Refused(String),
    /// This edge tails as many streams as it may.
    #[error("this edge follows {0} streams, which is its limit; use another edge")]
    TooManyStreams(usize),
    /// A subscriber asked for more streams than it may have.
    #[error("a subscriber may follow {0} streams at the most")]
    TooManySubscriptions(usize),
}

impl ReadError {
    /// Whether the same read may succeed when it is tried again.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}
