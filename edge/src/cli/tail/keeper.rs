//! Keeps the `--resume` file up to date with what has been written, at bounded intervals and at the end.

use std::convert::Infallible;
use std::fs::File;
use std::os::fd::AsFd as _;

use bytes::Bytes;
use shared::limits::CLIENT_RESUME_INTERVAL;
use tokio::sync::watch;

use super::output::Written;
use super::resume::ResumeFile;
use crate::cli::Failure;
use crate::cli::terminal::Notice;

/// Knows which cursor the file holds and which one it should.
#[derive(Debug)]
pub(super) struct Keeper {
    file: Option<ResumeFile>,
    written: watch::Receiver<Written>,
    kept: Option<Bytes>,
    told: Option<String>,
}

impl Keeper {
    /// A keeper of `file`; without one it has nothing to do.
    pub(super) fn new(file: Option<ResumeFile>, written: watch::Receiver<Written>) -> Self {
        Self {
            file,
            written,
            kept: None,
            told: None,
        }
    }

    /// Saves whenever something was written, at most once an interval. A failure is told, and tried again.
    pub(super) async fn run(&mut self) -> Infallible {
        loop {
            if self.file.is_none() || self.written.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(CLIENT_RESUME_INTERVAL).await;
            // The end of this must not come between the old file and the new one.
            let Err(error) = tokio::task::block_in_place(|| self.save()) else {
                continue;
            };
            let error = error.to_string();
            if self.told.as_ref() != Some(&error) {
                Notice::loud(&error).print();
                self.told = Some(error);
            }
            self.written.mark_changed();
        }
    }

    /// Saves what is not saved yet.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        self.save()
    }

    fn save(&mut self) -> Result<(), Failure> {
        let cursor = self.written.borrow_and_update().cursor.clone();
        let (Some(file), Some(cursor)) = (&self.file, cursor) else {
            return Ok(());
        };
        if self.kept.as_ref() == Some(&cursor) {
            return Ok(());
        }
        sync_output();
        file.save(&String::from_utf8_lossy(&cursor))
            .map_err(|e| Failure::Runtime(format!("--resume {} cannot be written: {e}", file.shown())))?;
        self.kept = Some(cursor);
        Ok(())
    }
}

/// An output that is a file must be on disk before the cursor is: or else a power cut could leave a cursor behind
/// events that nobody has.
fn sync_output() {
    let output = std::io::stdout().as_fd().try_clone_to_owned().map(File::from);
    if let Ok(file) = output
        && file.metadata().is_ok_and(|metadata| metadata.is_file())
    {
        // A file system that cannot sync makes no promise that this could keep.
        let _ = file.sync_data();
    }
}
