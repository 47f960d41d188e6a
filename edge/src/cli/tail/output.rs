//! Standard output of a tail: a thread writes batches, and says up to which event it came. It knows no formats.
//!
//! A slow reader of the output blocks this thread and nothing else: the tail stops reading from the edge once the
//! few batches of the queue are full, and can still be stopped. What counts as written is what the system has taken,
//! line by line: to a pipe, no write is longer than what a pipe takes whole or not at all, so that an end in the
//! middle of a blocked write leaves no line of which it is not known whether it went out.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileTypeExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use shared::limits::CLIENT_OUTPUT_BATCHES_MAX;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot, watch};

use crate::cli::terminal::Notice;

/// Bytes that a pipe takes whole or not at all: `PIPE_BUF` of Linux. POSIX asks for 512 at least.
const PIPE_WRITE_BYTES_MAX: usize = 4096;
/// Bytes of one write to a file.
const FILE_WRITE_BYTES_MAX: usize = 64 * 1024;
/// Pause before an output that is in non-blocking mode (somebody else's doing) and full is tried again.
const FULL_PAUSE: Duration = Duration::from_millis(5);

/// Lines to print, and where the tail stands after each.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    marks: Vec<Mark>,
}

#[derive(Debug)]
struct Mark {
    /// Everything up to here in `bytes` comes first.
    end: usize,
    cursor: Option<Bytes>,
    notice: Option<Notice>,
    events: u64,
}

impl Batch {
    /// What was appended to `bytes` since the last mark is one event; after it the tail stands at `cursor`.
    pub(super) fn mark_event(&mut self, cursor: Bytes) {
        self.mark(Some(cursor), None, 1);
    }

    /// The tail stands at `cursor`, with nothing printed.
    pub(super) fn mark_position(&mut self, cursor: Bytes) {
        self.mark(Some(cursor), None, 0);
    }

    /// A notice comes here, between the events before and after it.
    pub(super) fn mark_notice(&mut self, notice: Notice, cursor: Option<Bytes>) {
        self.mark(cursor, Some(notice), 0);
    }

    fn mark(&mut self, cursor: Option<Bytes>, notice: Option<Notice>, events: u64) {
        self.marks.push(Mark {
            end: self.bytes.len(),
            cursor,
            notice,
            events,
        });
    }

    /// Whether there is nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// What it takes in memory, about.
    pub(super) fn cost_bytes(&self) -> usize {
        self.bytes.len() + self.marks.len() * size_of::<Mark>()
    }
}

/// How far the output came.
#[derive(Debug, Default, Clone)]
pub(super) struct Written {
    /// Where the tail stands after the last event that was written whole.
    pub(super) cursor: Option<Bytes>,
    /// Events written.
    pub(super) events: u64,
}

/// The output of this process.
#[derive(Debug)]
pub(super) struct Output {
    /// `None` once nothing more will be handed in.
    batches: Option<mpsc::Sender<Batch>>,
    written: watch::Receiver<Written>,
    stopped: Arc<AtomicBool>,
    end: oneshot::Receiver<io::Result<()>>,
}

impl Output {
    /// Starts to write to standard output.
    pub(super) fn start() -> io::Result<Self> {
        let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let kind = file.metadata()?.file_type();
        let small = kind.is_fifo() || kind.is_socket();
        let write_bytes_max = if small {
            PIPE_WRITE_BYTES_MAX
        } else {
            FILE_WRITE_BYTES_MAX
        };
        Self::start_on(file, write_bytes_max)
    }

    fn start_on(file: impl Write + Send + 'static, write_bytes_max: usize) -> io::Result<Self> {
        let (batches, queue) = mpsc::channel(CLIENT_OUTPUT_BATCHES_MAX);
        let (progress, written) = watch::channel(Written::default());
        let (ended, end) = oneshot::channel();
        let stopped = Arc::new(AtomicBool::new(false));
        let mut writer = Writer {
            file,
            write_bytes_max,
            progress,
            stopped: stopped.clone(),
        };
        // A thread of its own: a write that never returns must not keep the process from ending.
        std::thread::Builder::new()
            .name("output".to_owned())
            .spawn(move || drop(ended.send(writer.run(queue))))?;
        Ok(Self {
            batches: Some(batches),
            written,
            stopped,
            end,
        })
    }

    /// Hands in a batch, as soon as there is room. `false`: the output has ended; [`Self::end`] says why.
    pub(super) async fn send(&self, batch: Batch) -> bool {
        match &self.batches {
            Some(batches) => batches.send(batch).await.is_ok(),
            None => false,
        }
    }

    /// How far the output came, now and from now on.
    pub(super) fn written(&self) -> watch::Receiver<Written> {
        self.written.clone()
    }

    /// Waits until everything that was handed in is written, or cannot be.
    pub(super) async fn finish(&mut self) -> io::Result<()> {
        self.batches = None;
        // The thread is gone without a word only if it panicked.
        let gone = || Err(io::Error::other("the thread that writes it failed"));
        (&mut self.end).await.unwrap_or_else(|_| gone())
    }

    /// Stops after the write that is under way, and waits for that if it takes less than `grace`.
    pub(super) async fn stop(&mut self, grace: Duration) {
        self.stopped.store(true, Ordering::SeqCst);
        // If it takes longer, what it writes is not counted as written.
        let _ = tokio::time::timeout(grace, self.finish()).await;
    }
}

/// Waits until nobody reads standard output any more; for ever if that cannot be seen from here.
pub(super) async fn reader_gone() {
    let Ok(watched) = io::stdout().as_fd().try_clone_to_owned().and_then(watch_errors) else {
        return std::future::pending().await;
    };
    while let Ok(mut guard) = watched.ready(Interest::ERROR).await {
        if guard.ready().is_error() {
            return;
        }
        guard.clear_ready();
    }
    std::future::pending().await
}

/// Registers a descriptor for nothing but errors: a pipe has one when its reading end is closed.
#[expect(
    deprecated,
    reason = "its successor is unsafe because not every AsRawFd keeps its descriptor; an OwnedFd does"
)]
fn watch_errors(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, Interest::ERROR)
}

struct Writer<W> {
    file: W,
    write_bytes_max: usize,
    progress: watch::Sender<Written>,
    stopped: Arc<AtomicBool>,
}

/// Why the writer ended before its queue did.
enum Halt {
    Stopped,
    Failed(io::Error),
}

impl<W: Write> Writer<W> {
    fn run(&mut self, mut queue: mpsc::Receiver<Batch>) -> io::Result<()> {
        while let Some(batch) = queue.blocking_recv() {
            match self.write_batch(batch) {
                Ok(()) => {}
                Err(Halt::Stopped) => return Ok(()),
                Err(Halt::Failed(error)) => return Err(error),
            }
        }
        Ok(())
    }

    fn write_batch(&mut self, batch: Batch) -> Result<(), Halt> {
        let (mut start, mut end) = (0, 0);
        let mut pending = Written::default();
        for mark in batch.marks {
            if mark.end - start > self.write_bytes_max || mark.notice.is_some() {
                self.write_piece(&batch.bytes[start..end], &mut pending)?;
                start = end;
            }
            if let Some(notice) = mark.notice {
                notice.print();
            }
            end = mark.end;
            pending.cursor = mark.cursor.or(pending.cursor);
            pending.events += mark.events;
        }
        self.write_piece(&batch.bytes[start..end], &mut pending)
    }

    /// Writes whole lines, then counts them.
    fn write_piece(&mut self, mut bytes: &[u8], pending: &mut Written) -> Result<(), Halt> {
        if self.stopped.load(Ordering::SeqCst) {
            return Err(Halt::Stopped);
        }
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(0) => return Err(Halt::Failed(ErrorKind::WriteZero.into())),
                Ok(count) => bytes = &bytes[count..],
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => std::thread::park_timeout(FULL_PAUSE),
                Err(e) => return Err(Halt::Failed(e)),
            }
        }
        let done = std::mem::take(pending);
        if done.cursor.is_some() || done.events > 0 {
            self.progress.send_modify(|written| {
                written.events += done.events;
                written.cursor = done.cursor.or(written.cursor.take());
            });
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "output_tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
