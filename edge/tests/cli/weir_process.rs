//! The `weir` binary as a child process. Everything waits with a deadline.

use std::ffi::OsStr;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// How long a test waits for anything before it fails.
const DEADLINE: Duration = Duration::from_secs(30);

/// A running `weir`. Killed when dropped.
pub(crate) struct Weir {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
    stderr: BufReader<ChildStderr>,
}

/// What a `weir` that has ended left behind.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit status; `None` after a signal.
    pub(crate) code: Option<i32>,
    /// What was left on standard output.
    pub(crate) stdout: String,
    /// What was left on standard error.
    pub(crate) stderr: String,
}

/// Starts `weir` with these arguments, in a clean environment.
pub(crate) fn weir<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Weir {
    let mut child = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(args)
        .env_clear()
        .env("TZ", "UTC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    Weir {
        stdin: child.stdin.take(),
        stdout: child.stdout.take().map(BufReader::new),
        stderr: BufReader::new(child.stderr.take().unwrap()),
        child,
    }
}

impl Weir {
    /// The next line of standard output.
    pub(crate) async fn line(&mut self) -> String {
        next_line(self.stdout.as_mut().unwrap(), "standard output").await
    }

    /// The next line of standard error.
    pub(crate) async fn notice(&mut self) -> String {
        next_line(&mut self.stderr, "standard error").await
    }

    /// Writes to standard input.
    pub(crate) async fn type_in(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        timeout(DEADLINE, stdin.write_all(text.as_bytes()))
            .await
            .expect("input is taken in time")
            .unwrap();
    }

    /// Closes standard input.
    pub(crate) fn close_input(&mut self) {
        self.stdin = None;
    }

    /// Closes the reading end of standard output, as `head` does.
    pub(crate) fn close_output(&mut self) {
        self.stdout = None;
    }

    /// Sends a signal, such as `INT`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap().to_string();
        let status = std::process::Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for the end without reading what is on standard output.
    pub(crate) async fn exit_code(&mut self) -> Option<i32> {
        timeout(DEADLINE, self.child.wait())
            .await
            .expect("an end in time")
            .unwrap()
            .code()
    }

    /// Waits for the end and brings everything that was not read yet.
    pub(crate) async fn ended(mut self) -> Ended {
        self.stdin = None;
        let (mut stdout, mut stderr) = (String::new(), String::new());
        let all = async {
            let out = async {
                if let Some(pipe) = &mut self.stdout {
                    pipe.read_to_string(&mut stdout).await.unwrap();
                }
            };
            tokio::join!(out, async {
                self.stderr.read_to_string(&mut stderr).await.unwrap()
            });
            self.child.wait().await.unwrap()
        };
        let code = timeout(DEADLINE, all).await.expect("an end in time").code();
        Ended { code, stdout, stderr }
    }
}

async fn next_line(pipe: &mut (impl tokio::io::AsyncBufRead + Unpin), name: &str) -> String {
    let mut line = String::new();
    let read = timeout(DEADLINE, pipe.read_line(&mut line)).await;
    let count = read
        .unwrap_or_else(|_| panic!("a line on {name} in time"))
        .unwrap();
    assert!(count > 0, "{name} has ended");
    line.trim_end_matches('\n').to_owned()
}
