//! Programs that the tests run as users run them, and what they print, line by line.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::Instant;

use crate::client::DEADLINE;

/// A running program; killed when this is dropped.
pub struct Program {
    name: String,
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// Held open: some programs end when it does.
    _input: ChildStdin,
    deadline: Instant,
}

impl Program {
    pub fn start(name: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(name)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("this test needs `{name}`, which cannot be started: {error}"));
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let input = child.stdin.take().unwrap();
        Self {
            name: name.to_owned(),
            child,
            lines,
            _input: input,
            deadline: Instant::now() + DEADLINE,
        }
    }

    /// The next line it prints; `None` when it has closed its output.
    pub async fn line(&mut self) -> Option<String> {
        let line = tokio::time::timeout_at(self.deadline, self.lines.next_line()).await;
        line.unwrap_or_else(|_| panic!("{} does not print what it should", self.name))
            .unwrap()
    }

    /// The next lines it prints.
    pub async fn lines(&mut self, count: usize) -> Vec<String> {
        let mut lines = Vec::new();
        for _ in 0..count {
            lines.push(
                self.line()
                    .await
                    .unwrap_or_else(|| panic!("{} ended after {lines:?}", self.name)),
            );
        }
        lines
    }

    /// What it still prints until it ends, which it must do by itself and in peace.
    pub async fn rest(mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(line) = self.line().await {
            lines.push(line);
        }
        let status = tokio::time::timeout(Duration::from_secs(10), self.child.wait())
            .await
            .unwrap()
            .unwrap();
        assert!(status.success(), "{} ended with {status}", self.name);
        lines
    }
}
