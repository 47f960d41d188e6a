//! The connections for page reads, and when one is taken to work.

use std::io;

use deadpool::Runtime;
use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use shared::limits::{CONNECT_TIMEOUT, READ_CONNECTION_TRUST, READ_TIMEOUT};

use super::super::connect::Connector;
use super::super::fault::Fault;
use super::super::parse;
use super::super::wire::Connection;

/// A pool of connections for reads.
pub(super) type Pool = managed::Pool<Manager>;

/// A connection that is in use; it goes back to its pool when it is dropped.
pub(super) type Pooled = managed::Object<Manager>;

/// Opens connections, and looks at those that come back into use.
pub(super) struct Manager {
    connector: Connector,
}

/// A pool of up to `connections` connections, opened as they are needed.
pub(super) fn pool(connections: usize, connector: &Connector) -> io::Result<Pool> {
    let manager = Manager {
        connector: connector.clone(),
    };
    Pool::builder(manager)
        .max_size(connections.max(1))
        .wait_timeout(Some(READ_TIMEOUT))
        .create_timeout(Some(CONNECT_TIMEOUT))
        .recycle_timeout(Some(CONNECT_TIMEOUT))
        .runtime(Runtime::Tokio1)
        .build()
        .map_err(io::Error::other)
}

impl managed::Manager for Manager {
    type Type = Connection;
    type Error = Fault;

    async fn create(&self) -> Result<Connection, Fault> {
        Connection::open(&self.connector).await
    }

    /// One that was in use just now is not asked: a reader that catches up would wait for that with every page. If it
    /// was lost meanwhile, the read that finds out is repeated on a new one.
    async fn recycle(&self, connection: &mut Connection, use_so_far: &Metrics) -> RecycleResult<Fault> {
        if !connection.is_clean() {
            return Err(RecycleError::message("an answer may still be on its way"));
        }
        if use_so_far.last_used() < READ_CONNECTION_TRUST {
            return Ok(());
        }
        let answer = connection.run(&redis::cmd("PING")).await;
        answer
            .and_then(parse::ok)
            .map(drop)
            .map_err(RecycleError::Backend)
    }
}
