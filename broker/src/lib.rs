//! The log: append, read, live tail. Everything that knows Redis is in here, and nothing that knows a socket
//! protocol.
//!
//! * [`Log`]: what an edge does with streams. Two engines implement it, [`RedisLog`] and [`MemoryLog`], and one
//!   contract test suite (`tests/contract`) is run against both.
//! * [`Hub`]: on each edge one [`Channel`] per subscribed stream, with its ring of recent entries. An engine feeds
//!   it; it never asks whether a subscriber keeps up.
//! * [`Subscriber`]: one reader of one or many streams. It joins history to live, falls back to paging when it is
//!   slow, and brings every verdict.
//! * [`EphemeralEvent`]: what reaches the subscribers of a stream without being stored.
//! * [`Sessions`]: records by which any edge goes on with a session of another.
//! * [`Edges`]: which edges there are, where, and the secret they share.
//! * [`Retention`]: how much of which stream is kept.
//! * [`Filter`]: which events a subscriber wants.

mod backoff;
mod durability;
mod edges;
mod ephemeral;
mod error;
mod filter;
mod health;
mod hub;
mod log;
mod memory;
mod redis;
mod retention;
mod sessions;
mod subscriber;
#[cfg(feature = "testing")]
pub mod testing;

pub use durability::{Durability, DurabilityError};
pub use edges::{ClusterSecret, EdgeCall, Edges};
pub use ephemeral::{EphemeralError, EphemeralEvent};
pub use error::{AppendError, ReadError, Unavailable};
pub use filter::{Filter, FilterError};
pub use health::{Away, Part};
pub use hub::{Channel, Feed, Hub, HubConfig};
pub use log::{
    Appended, Direction, From, IdempotencyKey, KeyError, Limits, Log, NewEvent, Page, ReadRequest, Receipt,
};
pub use memory::{MemoryClock, MemoryConfig, MemoryEdges, MemoryLog, MemorySessions, MemorySnapshot};
pub use redis::{ConnectError, RedisConfig, RedisLog, TailMode, TlsFiles};
pub use retention::{Retention, RetentionRule, RetentionRules};
pub use sessions::{Generation, Saved, SessionCall, SessionError, Sessions, Taken, Touched};
pub use subscriber::{Delivery, Joined, Order, Subscriber, SubscriberConfig};
