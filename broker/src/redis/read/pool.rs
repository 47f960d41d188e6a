//! The connections for page reads, and when one is taken to work.

use deadpool::Runtime;
use deadpool::managed::{self, BuildError, Metrics, RecycleError, RecycleResult};
use redis::RedisError;
use redis::aio::MultiplexedConnection;
use shared::limits::{CONNECT_TIMEOUT, READ_CONNECTION_TRUST, READ_TIMEOUT};

use super::super::connect::{Connector, Purpose};

/// A pool of connections for reads.
pub(super) type Pool = managed::Pool<Manager>;

/// A connection that is in use; it goes back to its pool when it is dropped.
pub(super) type Connection = managed::Object<Manager>;

/// Opens connections, and looks at those that come back into use.
pub(super) struct Manager(Connector);

/// A pool of up to `connections` connections, opened as they are needed.
pub(super) fn pool(connections: usize, connector: Connector) -> Result<Pool, BuildError> {
    Pool::builder(Manager(connector))
        .max_size(connections.max(1))
        .wait_timeout(Some(READ_TIMEOUT))
        .create_timeout(Some(CONNECT_TIMEOUT))
        .recycle_timeout(Some(CONNECT_TIMEOUT))
        .runtime(Runtime::Tokio1)
        .build()
}

impl managed::Manager for Manager {
    type Type = MultiplexedConnection;
    type Error = RedisError;

    async fn create(&self) -> Result<MultiplexedConnection, RedisError> {
        self.0.open(&Purpose::default()).await
    }

    /// One that was in use just now is not asked: a reader that catches up would wait for that with every page. If it
    /// was lost meanwhile, the read that finds out is repeated on a new one.
    async fn recycle(
        &self,
        connection: &mut MultiplexedConnection,
        use_so_far: &Metrics,
    ) -> RecycleResult<RedisError> {
        if use_so_far.last_used() < READ_CONNECTION_TRUST {
            return Ok(());
        }
        let answer = redis::cmd("PING").query_async::<()>(connection).await;
        answer.map_err(RecycleError::Backend)
    }
}
