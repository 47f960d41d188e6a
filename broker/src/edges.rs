//! Which edges there are and where others reach them, and the secret by which they know each other.

use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;
use shared::EdgeId;

use crate::Unavailable;

/// A call about edges. It begins when it is polled first; dropping it later does not take it back.
pub type EdgeCall<T> = BoxFuture<'static, Result<T, Unavailable>>;

/// The edges that share one log. Every call fails fast while the log is away.
pub trait Edges: Send + Sync + 'static {
    /// Says that `edge` is reached at `address` for the next `ttl`. To be repeated well within that time.
    fn announce(&self, edge: EdgeId, address: &str, ttl: Duration) -> EdgeCall<()>;

    /// Where an edge is reached. `None`: it is gone, or never was.
    fn find(&self, edge: EdgeId) -> EdgeCall<Option<String>>;

    /// Takes back what was announced.
    fn withdraw(&self, edge: EdgeId) -> EdgeCall<()>;

    /// The secret that all edges share: `proposed`, if there is none yet.
    ///
    /// An edge that repeats this with the secret it knows, as often as it announces itself, puts the secret back in case
    /// that the log has lost it.
    fn cluster_secret(&self, proposed: ClusterSecret) -> EdgeCall<ClusterSecret>;
}

/// Random bytes that only the edges of one log know. Prints redacted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ClusterSecret([u8; ClusterSecret::BYTES]);

impl ClusterSecret {
    /// How many bytes it has.
    pub const BYTES: usize = 32;

    /// A secret of random bytes.
    pub const fn from_random(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterSecret(…)")
    }
}
