//! A log that fails when it is told to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use broker::{
    AppendError, Appended, Edges, EphemeralError, Hub, Log, MemoryLog, NewEvent, Page, ReadError,
    ReadRequest, Receipt, Sessions, Unavailable,
};
use edge::config::Config;
use shared::{Event, StreamName};
use tokio::sync::oneshot;

/// An in-memory log in front of which failures stand in line: each is the outcome of one `submit`.
pub(crate) struct FlakyLog {
    inner: Arc<MemoryLog>,
    failures: Mutex<VecDeque<AppendError>>,
    /// While this is set, submitted events wait here for their outcome.
    held: Mutex<Option<Vec<Held>>>,
    check_hangs: bool,
}

impl FlakyLog {
    pub(crate) fn new(failures: impl IntoIterator<Item = AppendError>) -> Arc<Self> {
        Arc::new(Self {
            inner: MemoryLog::new(Config::default().memory_config()),
            failures: Mutex::new(failures.into_iter().collect()),
            held: Mutex::default(),
            check_hangs: false,
        })
    }

    /// From now on events are taken, but nothing becomes of them.
    pub(crate) fn hold(&self) {
        *self.held.lock().unwrap() = Some(Vec::new());
    }

    /// How many submits are held.
    pub(crate) fn held(&self) -> usize {
        self.held.lock().unwrap().as_ref().map_or(0, Vec::len)
    }

    /// Holds no more: the first of those that are held fails, the others are appended.
    pub(crate) async fn fail_first_held(&self) {
        let held = self.held.lock().unwrap().take().unwrap_or_default();
        for (index, held) in held.into_iter().enumerate() {
            let results = match index {
                0 => held.events.iter().map(|_| Err(away())).collect(),
                _ => self.inner.submit(&held.stream, held.events).await.unwrap().await,
            };
            held.outcome.send(results).unwrap();
        }
    }

    /// One whose `check` never answers.
    pub(crate) fn hanging() -> Arc<Self> {
        Arc::new(Self {
            inner: MemoryLog::new(Config::default().memory_config()),
            failures: Mutex::default(),
            held: Mutex::default(),
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

/// A submit without an outcome yet.
struct Held {
    stream: StreamName,
    events: Vec<NewEvent>,
    outcome: oneshot::Sender<Vec<Result<Appended, AppendError>>>,
}

pub(crate) fn away() -> AppendError {
    AppendError::Unavailable(Unavailable("down for a test".into()))
}

#[async_trait]
impl Log for FlakyLog {
    async fn submit(&self, stream: &StreamName, events: Vec<NewEvent>) -> Result<Receipt, AppendError> {
        let failure = self.failures.lock().unwrap().pop_front();
        if let Some(held) = self.held.lock().unwrap().as_mut() {
            let (outcome, receipt) = Receipt::new();
            held.push(Held {
                stream: stream.clone(),
                events,
                outcome,
            });
            return Ok(receipt);
        }
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

    fn send_ephemeral(&self, stream: &StreamName, event: Event) -> Result<(), EphemeralError> {
        self.inner.send_ephemeral(stream, event)
    }

    fn sessions(&self) -> &Arc<dyn Sessions> {
        self.inner.sessions()
    }

    fn edges(&self) -> &Arc<dyn Edges> {
        self.inner.edges()
    }
}
