//! placeholder
use crate::{
    AppendError, Hub, HubConfig, Limits, Log, NewEvent, Page, ReadError, ReadRequest, Receipt,
    RetentionRules, Unavailable,
};
use async_trait::async_trait;
use shared::StreamName;
use std::sync::Arc;
/// How the tail learns of new entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TailMode {
    /// Client tracking; blocking reads where the server refuses it.
    #[default]
    Auto,
    /// Blocking reads.
    Blocking,
}
/// Settings of the Redis engine.
#[derive(Debug, Clone)]
pub struct RedisConfig {
    /// `redis://[user:password@]host:port/db`, `rediss://…` or `unix:///path`.
    pub url: String,
    /// Key of a stream, with `{NAME}` standing for the braces and the name: `weir:{NAME}` makes `weir:{doc:1}`.
    pub key_template: String,
    /// Multiplexed connections for appends.
    pub append_connections: usize,
    /// Connections for page reads.
    pub read_connections: usize,
    /// How the tail learns of new entries.
    pub tail: TailMode,
    /// Limits on appends.
    pub limits: Limits,
    /// What is kept.
    pub retention: RetentionRules,
    /// The live side.
    pub hub: HubConfig,
}
/// Why the first connection failed: one line for the operator.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConnectError(pub(crate) String);
/// The Redis engine.
pub struct RedisLog {}
impl RedisLog {
    /// Connects, checks the server's version, and starts the tail. Fails if the server cannot be reached now; once
    /// it has been up, the engine keeps trying for ever.
    pub async fn connect(_config: RedisConfig) -> Result<Arc<Self>, ConnectError> {
        unreachable!()
    }
}
#[async_trait]
impl Log for RedisLog {
    async fn submit(&self, _: &StreamName, _: Vec<NewEvent>) -> Result<Receipt, AppendError> {
        unreachable!()
    }
    async fn read(&self, _: &StreamName, _: &ReadRequest) -> Result<Page, ReadError> {
        unreachable!()
    }
    async fn check(&self) -> Result<(), Unavailable> {
        unreachable!()
    }
    fn hub(&self) -> &Arc<Hub> {
        unreachable!()
    }
}
