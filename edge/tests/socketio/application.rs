//! A server whose sockets do what the names of events say.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use edge::engineio::Opened;
use edge::socketio::{Answer, Application, Connect, Emitter, Gone, Incoming, Limits, Socket, elements};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep};

use crate::client::DEADLINE;

/// What the server saw, in words.
#[derive(Debug, Default)]
pub struct Log {
    lines: Mutex<Vec<String>>,
    changed: Notify,
}

impl Log {
    fn push(&self, line: String) {
        self.lines.lock().unwrap().push(line);
        self.changed.notify_waiters();
    }

    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Waits until the server has seen this so often.
    pub async fn wait(&self, line: &str, times: usize) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let changed = self.changed.notified();
            let lines = self.lines();
            if lines.iter().filter(|seen| *seen == line).count() >= times {
                return;
            }
            let waited = tokio::time::timeout_at(deadline, changed).await;
            assert!(
                waited.is_ok(),
                "{line:?} does not happen {times} times: {lines:?}"
            );
        }
    }
}

/// Namespaces: `/`, `/a`, `/b`; `/slow` takes its time; `/forbidden` refuses.
///
/// Events: `echo` is acknowledged and emitted again with its arguments; `silent` does nothing; `ask` emits `question` with
/// them and, when it is acknowledged, `answered`; `large` emits one string of so many bytes; `volatile` emits `now` if
/// the client is writable; `leave` makes the client leave; `cut` ends the connection.
#[derive(Debug)]
pub struct Talk {
    pub log: Arc<Log>,
    pub limits: Limits,
}

impl Application for Talk {
    type Socket = TalkSocket;
    type Handshake = String;

    fn handshake(&self, opened: &Opened<'_>) -> String {
        let agent = opened.headers.get("x-test").and_then(|value| value.to_str().ok());
        agent.unwrap_or_default().to_owned()
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn connect(&self, connect: Connect<'_, String>) -> Option<TalkSocket> {
        let namespace = connect.namespace.as_str();
        let entry = match namespace {
            "/" | "/a" | "/b" => Entry::Now,
            "/slow" => Entry::After(Box::pin(tokio::time::sleep(Duration::from_millis(100)))),
            "/forbidden" => Entry::Never,
            _ => return None,
        };
        self.log.push(
            format!("{namespace} connect {}", connect.handshake)
                .trim_end()
                .to_owned(),
        );
        Some(TalkSocket {
            namespace: namespace.to_owned(),
            log: Arc::clone(&self.log),
            auth: connect.auth.unwrap_or(Bytes::from_static(b"{}")),
            entry,
            volatile: 0,
        })
    }
}

enum Entry {
    Now,
    After(Pin<Box<Sleep>>),
    Never,
    Done,
}

pub struct TalkSocket {
    namespace: String,
    log: Arc<Log>,
    auth: Bytes,
    entry: Entry,
    /// How many volatile events wait for their moment.
    volatile: usize,
}

impl TalkSocket {
    fn poll_entry(&mut self, cx: &mut Context<'_>, out: &mut Emitter<'_>) -> Poll<()> {
        match &mut self.entry {
            Entry::Done => return Poll::Ready(()),
            Entry::Now => {}
            Entry::After(sleep) => ready!(sleep.as_mut().poll(cx)),
            Entry::Never => {
                out.refuse("not allowed", Some(br#"{"code":7}"#));
                return Poll::Pending;
            }
        }
        self.entry = Entry::Done;
        out.accept(&format!("{:016x}", fastrand::u64(..)), None);
        out.emit(&[b"[\"auth\",", &self.auth, b"]"], &[]);
        Poll::Ready(())
    }
}

/// `[` `name` and the arguments `]`.
fn array(name: Option<&str>, arguments: impl Iterator<Item = Bytes>) -> Vec<u8> {
    let name = name.map(|name| Bytes::from(format!("\"{name}\"")));
    let elements: Vec<Bytes> = name.into_iter().chain(arguments).collect();
    [b"[", elements.join(b",".as_slice()).as_slice(), b"]"].concat()
}

impl Socket for TalkSocket {
    fn wants_event(&self) -> bool {
        true
    }

    fn event(&mut self, event: Incoming, out: &mut Emitter<'_>) {
        self.log.push(format!("{} {}", self.namespace, event.name));
        let emit = |out: &mut Emitter<'_>, name| {
            out.emit(&[&array(Some(name), event.arguments())], &event.attachments);
        };
        match event.name.as_str() {
            "echo" => {
                if let Some(id) = event.ack {
                    out.ack(id, &[&array(None, event.arguments())], &event.attachments);
                }
                emit(out, "echo");
            }
            "ask" => {
                out.emit_with_ack(&[&array(Some("question"), event.arguments())], &event.attachments);
            }
            "large" => {
                let bytes: usize = serde_json::from_slice(&event.arguments().next().unwrap()).unwrap();
                out.emit(&[b"[\"large\",\"", "x".repeat(bytes).as_bytes(), b"\"]"], &[]);
            }
            "volatile" => self.volatile += 1,
            "leave" => out.disconnect(),
            "cut" => out.close(),
            _ => {}
        }
    }

    fn answer(&mut self, answer: Answer, out: &mut Emitter<'_>) {
        out.emit(
            &[&array(Some("answered"), elements(&answer.array))],
            &answer.attachments,
        );
    }

    fn poll(&mut self, cx: &mut Context<'_>, writable: bool, out: &mut Emitter<'_>) -> Poll<()> {
        ready!(self.poll_entry(cx, out));
        if writable {
            for _ in 0..std::mem::take(&mut self.volatile) {
                out.emit(&[b"[\"now\",1]"], &[]);
            }
        }
        Poll::Pending
    }

    fn drain(&mut self, out: &mut Emitter<'_>) {
        out.close();
    }

    fn gone(&mut self, reason: Gone) {
        self.log.push(format!("{} gone {reason:?}", self.namespace));
    }
}
