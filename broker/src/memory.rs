//! placeholder
use crate::{
    AppendError, Hub, HubConfig, Limits, Log, NewEvent, Page, ReadError, ReadRequest, Receipt,
    RetentionRules, Unavailable,
};
use async_trait::async_trait;
use shared::StreamName;
use std::sync::Arc;
/// Settings of the in-memory engine.
#[derive(Debug, Clone, Default)]
pub struct MemoryConfig {
    /// Limits on appends.
    pub limits: Limits,
    /// What is kept.
    pub retention: RetentionRules,
    /// The live side.
    pub hub: HubConfig,
    /// Bytes over all streams; the default is [`shared::limits::MEMORY_ENGINE_BYTES_MAX`].
    pub bytes_max: usize,
}
/// The in-memory engine.
pub struct MemoryLog {}
impl MemoryLog {
    /// An empty log.
    pub fn new(_config: MemoryConfig) -> Arc<Self> {
        unreachable!()
    }
}
#[async_trait]
impl Log for MemoryLog {
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
