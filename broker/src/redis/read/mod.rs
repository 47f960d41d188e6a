//! Page reads: a pool of connections, a deadline over the whole read, and a second try on a fresh connection, since
//! reading twice does no harm. What is read is in [`gather`], and what it means in [`page`].

mod gather;
mod page;
mod pool;

use deadpool::managed::{PoolError, TimeoutType};
use shared::StreamName;
use shared::limits::{PAGE_ENTRIES_MAX, READ_TIMEOUT};
use tokio::time::timeout;

use super::ConnectError;
use super::connect::Connector;
use super::fault::Fault;
use super::keys::KeyTemplate;
use super::topology::Topology;
use crate::{Page, ReadError, ReadRequest, Unavailable};
use gather::{EntrySizes, Source};
use pool::{Pool, Pooled};

/// See [`crate::Log::read`].
pub(super) async fn read(
    topology: &Topology,
    keys: &KeyTemplate,
    stream: &StreamName,
    request: &ReadRequest,
) -> Result<Page, ReadError> {
    let request = ReadRequest {
        limit: request.limit.clamp(1, PAGE_ENTRIES_MAX),
        ..*request
    };
    let key = keys.stream_key(stream);
    let work = topology.at_owner(key.as_bytes(), |node, asking| async move {
        node.reader().read(stream, &request, asking).await
    });
    match timeout(READ_TIMEOUT, work).await {
        Ok(done) => done.map_err(Fault::into_read_error),
        Err(_) => Err(Unavailable("Redis does not answer".into()).into()),
    }
}

/// Reads pages from one node.
pub(super) struct Reader {
    pool: Pool,
    keys: KeyTemplate,
    sizes: EntrySizes,
}

impl Reader {
    /// A reader with up to `connections` connections, opened as they are needed.
    pub(super) fn new(
        connections: usize,
        connector: &Connector,
        keys: KeyTemplate,
    ) -> Result<Self, ConnectError> {
        let unusable = |error| ConnectError(format!("the Redis connections cannot be set up: {error}"));
        let pool = pool::pool(connections, connector).map_err(unusable)?;
        Ok(Self {
            pool,
            keys,
            sizes: EntrySizes::default(),
        })
    }

    /// A page of a stream that this node has.
    async fn read(&self, stream: &StreamName, request: &ReadRequest, asking: bool) -> Result<Page, Fault> {
        match self.attempt(stream, request, asking).await {
            Err(Fault::Lost(_)) => self.attempt(stream, request, asking).await,
            done => done,
        }
    }

    async fn attempt(&self, stream: &StreamName, request: &ReadRequest, asking: bool) -> Result<Page, Fault> {
        let mut connection = self.connection().await?;
        let key = self.keys.stream_key(stream);
        let mut source = Source::new(&mut connection, stream, key, &self.sizes, asking);
        let done = page::read(&mut source, stream, request).await;
        if matches!(done, Err(Fault::Lost(_))) {
            // What is true of one is likely to be true of the others that nobody has tried since.
            self.pool.retain(|_, _| false);
        }
        done
    }

    async fn connection(&self) -> Result<Pooled, Fault> {
        self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(fault) => fault,
            PoolError::Timeout(TimeoutType::Wait) => Fault::Lost("more is read than Redis takes"),
            PoolError::Timeout(_) => Fault::Lost("Redis does not answer"),
            PoolError::Closed | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                Fault::Lost("the log is shutting down")
            }
        })
    }
}
