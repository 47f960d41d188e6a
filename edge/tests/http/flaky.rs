//! A log that fails when it is told to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use broker::{
    AppendError, Hub, Log, MemoryLog, NewEvent, Page, ReadError, ReadRequest, Receipt, Unavailable,
};
use edge::config::Config;
use shared::StreamName;

/// An in-memory log in front of which failures stand in line: each is the outcome of one `submit`.
pub(crate) struct FlakyLog {
    inner: Arc<MemoryLog>,
    failures: Mutex<VecDeque<AppendError>>,
    check_hangs: bool,
}

impl FlakyLog {
    pub(crate) fn new(failures: impl IntoIterator<Item = AppendError>) -> Arc<Self> {
        Arc::new(Self {
            inner: MemoryLog::new(Config::default().memory_config()),
            failures: Mutex::new(failures.into_iter().collect()),
            check_hangs: false,
        })
    }

    /// One whose `check` never answers.
    pub(crate) fn hanging() -> Arc<Self> {
        Arc::new(Self {
            inner: MemoryLog::new(Config::default().memory_config()),
            failures: Mutex::default(),
            check_hangs: true,
        })
    }

    pub(crate) fn fail_next(&self, failures: impl IntoIterator<Item = AppendError>) {
        self.failures.lock().unwrap().extend(failures);
    }

    /// Failures that nobody has met yet.
    pub(crate) fn failures_left(&self) -> usize {
        self.failures.lock().unwrap().len()
    }
}

pub(crate) fn away() -> AppendError {
    AppendError::Unavailable(Unavailable("down for a test".into()))
}

#[async_trait]
impl Log for FlakyLog {
    async fn submit(&self, stream: &StreamName, events: Vec<NewEvent>) -> Result<Receipt, AppendError> {
        let failure = self.failures.lock().unwrap().pop_front();
        match failure {
            Some(error) => Err(error),
            None => self.inner.submit(stream, events).await,
        }
    }

    async fn read(&self, stream: &StreamName, request: &ReadRequest) -> Result<Page, ReadError> {
        self.inner.read(stream, request).await
    }

    async fn check(&self) -> Result<(), Unavailable> {
        if self.check_hangs {
            tokio::time::sleep(Duration::from_secs(3600)).await;
        }
        match self.failures_left() {
            0 => Ok(()),
            _ => Err(Unavailable("down for a test".into())),
        }
    }

    fn hub(&self) -> &Arc<Hub> {
        self.inner.hub()
    }
}
