//! The `--resume` file: where a tail stands, kept across restarts. It is replaced as a whole or not at all.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::cli::Failure;

/// The form of the file, in case it ever changes.
const FORM: u32 = 1;
/// Bytes of such a file at the most: 64 streams with long names, and their cursor.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// A `--resume` file and what it belongs to.
#[derive(Debug)]
pub(super) struct ResumeFile {
    path: PathBuf,
    url: String,
    streams: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
struct Content {
    weir_resume: u32,
    url: String,
    streams: Vec<String>,
    cursor: String,
}

impl ResumeFile {
    /// Opens the file for a tail of these streams of this edge; brings the cursor it holds, `None` if there is no
    /// file yet. An error if it is damaged, belongs to another tail, or could not be written later on.
    pub(super) fn open(
        path: &Path,
        url: String,
        streams: &[String],
    ) -> Result<(Self, Option<String>), Failure> {
        let mut streams = streams.to_vec();
        streams.sort_unstable();
        let file = Self {
            path: path.to_owned(),
            url,
            streams,
        };
        let cursor = file.read().map_err(|why| file.unusable(&why))?;
        // Better now than after hours of events that nothing could be kept about.
        file.temporary()
            .map_err(|e| file.unusable(&format!("its folder cannot be written: {}", e.kind())))?;
        Ok((file, cursor))
    }

    fn unusable(&self, why: &str) -> Failure {
        Failure::Usage(format!("--resume {}: {why}", self.path.display()))
    }

    fn read(&self) -> Result<Option<String>, String> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(format!("cannot be read: {e}")),
        };
        let metadata = file.metadata().map_err(|e| format!("cannot be read: {e}"))?;
        if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
            return Err("is no file that weir tail has written; name another one".to_owned());
        }
        let content: Content = serde_json::from_reader(io::BufReader::new(file)).map_err(|e| {
            format!("is damaged ({e}); delete it to start anew, or go on with --from if you know the cursor")
        })?;
        if content.weir_resume != FORM {
            let form = content.weir_resume;
            return Err(format!(
                "has the form {form}, this weir knows {FORM}; use the weir that wrote it"
            ));
        }
        if content.cursor.is_empty() || content.cursor.chars().any(|c| c.is_control() || c == ' ') {
            return Err("is damaged (no cursor in it); delete it to start anew".to_owned());
        }
        if content.streams != self.streams {
            let theirs = content.streams.join(" ");
            return Err(format!(
                "belongs to a tail of {theirs}; use one file for each tail"
            ));
        }
        if content.url != self.url {
            let cursor = &content.cursor;
            return Err(format!(
                "belongs to {}, not to {}; to go on there with the same log, use another file and --from {cursor}",
                content.url, self.url
            ));
        }
        Ok(Some(content.cursor))
    }

    /// Replaces the file. What was there before stays whole until the new one is on disk.
    pub(super) fn save(&self, cursor: &str) -> io::Result<()> {
        let content = Content {
            weir_resume: FORM,
            url: self.url.clone(),
            streams: self.streams.clone(),
            cursor: cursor.to_owned(),
        };
        let mut file = self.temporary()?;
        serde_json::to_writer_pretty(&mut file, &content)?;
        file.write_all(b"\n")?;
        file.as_file().sync_all()?;
        file.persist(&self.path).map_err(|e| e.error)?;
        // The new name is on disk once its folder is. Where a folder cannot be synced the rename has still happened.
        let _ = File::open(self.folder()).and_then(|folder| folder.sync_all());
        Ok(())
    }

    /// The path, for people.
    pub(super) fn shown(&self) -> std::path::Display<'_> {
        self.path.display()
    }

    /// A new file beside the old one: only within one file system is a rename atomic.
    fn temporary(&self) -> io::Result<NamedTempFile> {
        tempfile::Builder::new()
            .prefix(".weir-resume-")
            .tempfile_in(self.folder())
    }

    fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const URL: &str = "http://127.0.0.1:7400";

    fn open(path: &Path, url: &str, streams: &[&str]) -> Result<(ResumeFile, Option<String>), String> {
        let streams: Vec<String> = streams.iter().map(|s| (*s).to_owned()).collect();
        ResumeFile::open(path, url.to_owned(), &streams).map_err(|e| e.to_string())
    }

    #[test]
    fn what_was_saved_is_read_again_in_any_order_of_streams() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("resume.json");
        let (file, cursor) = open(&path, URL, &["b", "a"]).unwrap();
        assert_eq!(cursor, None);
        file.save("a~1-0.1,b~0-0.0").unwrap();
        file.save("a~2-0.2,b~0-0.0").unwrap();
        assert_eq!(
            open(&path, URL, &["a", "b"]).unwrap().1.as_deref(),
            Some("a~2-0.2,b~0-0.0")
        );
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            1,
            "nothing else is left behind"
        );
    }

    #[test]
    fn a_file_of_another_tail_or_a_damaged_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("resume.json");
        open(&path, URL, &["a"]).unwrap().0.save("1-0.1").unwrap();
        assert!(
            open(&path, URL, &["a", "b"])
                .unwrap_err()
                .contains("belongs to a tail of a;")
        );
        let other = open(&path, "http://127.0.0.2:7400", &["a"]).unwrap_err();
        assert!(other.contains("belongs to http://127.0.0.1:7400") && other.contains("--from 1-0.1"));
        for damaged in [
            "",
            "{",
            "{}",
            "null",
            r#"{"weir_resume":1,"url":"u","streams":["a"],"cursor":""}"#,
        ] {
            std::fs::write(&path, damaged).unwrap();
            let error = open(&path, URL, &["a"]).unwrap_err();
            assert!(error.contains("is damaged") && !error.contains('\n'), "{error}");
        }
        std::fs::write(
            &path,
            r#"{"weir_resume":2,"url":"u","streams":["a"],"cursor":"1"}"#,
        )
        .unwrap();
        assert!(open(&path, URL, &["a"]).unwrap_err().contains("has the form 2"));
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_told_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let error = open(&folder.path().join("none/resume.json"), URL, &["a"]).unwrap_err();
        assert!(error.contains("cannot be written"), "{error}");
        assert!(
            open(folder.path(), URL, &["a"])
                .unwrap_err()
                .contains("is no file")
        );
    }
}
