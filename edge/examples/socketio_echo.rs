//! A Socket.IO server that echoes, to run the official test suite against it:
//! `cargo run --example socketio_echo -- PORT`.
//!
//! On connect to `/` and to `/custom` it emits `auth` with the handshake's auth, `{}` if there is none; `message` is
//! answered by `message-back` with the same arguments; `message-with-ack` acknowledges its arguments. There is no
//! recovery, and a client has one second to connect to a namespace.

use std::process::ExitCode;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use edge::config::LimitSettings;
use edge::engineio::{self, Opened, Settings, Surroundings};
use edge::origins::Origins;
use edge::server::{self, Hosting};
use edge::socketio::{Application, Connect, Emitter, Gone, Incoming, Limits, Server, Socket};
use shared::EdgeId;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

struct Echo;

impl Application for Echo {
    type Socket = EchoSocket;
    type Handshake = ();

    fn handshake(&self, _opened: &Opened<'_>) {}

    fn limits(&self) -> Limits {
        Limits {
            connect_timeout: Duration::from_secs(1),
            ..Limits::default()
        }
    }

    fn connect(&self, connect: Connect<'_, ()>) -> Option<EchoSocket> {
        let auth = connect.auth.unwrap_or(Bytes::from_static(b"{}"));
        matches!(connect.namespace.as_str(), "/" | "/custom").then_some(EchoSocket { auth: Some(auth) })
    }
}

struct EchoSocket {
    /// What is emitted on connect, until then.
    auth: Option<Bytes>,
}

/// A JSON array of `elements`.
fn array(elements: impl Iterator<Item = Bytes>) -> Vec<u8> {
    let elements: Vec<Bytes> = elements.collect();
    [b"[", elements.join(b",".as_slice()).as_slice(), b"]"].concat()
}

impl Socket for EchoSocket {
    fn wants_event(&self) -> bool {
        true
    }

    fn event(&mut self, event: Incoming, out: &mut Emitter<'_>) {
        match (event.name.as_str(), event.ack) {
            ("message", _) => {
                let name = std::iter::once(Bytes::from_static(b"\"message-back\""));
                out.emit(&[&array(name.chain(event.arguments()))], &event.attachments);
            }
            ("message-with-ack", Some(id)) => {
                out.ack(id, &[&array(event.arguments())], &event.attachments);
            }
            _ => {}
        }
    }

    fn poll(&mut self, _cx: &mut Context<'_>, _writable: bool, out: &mut Emitter<'_>) -> Poll<()> {
        if let Some(auth) = self.auth.take() {
            let sid: String = std::iter::repeat_with(fastrand::alphanumeric).take(20).collect();
            out.accept(&sid, None);
            out.emit(&[b"[\"auth\",", &auth, b"]"], &[]);
        }
        Poll::Pending
    }

    fn drain(&mut self, out: &mut Emitter<'_>) {
        out.close();
    }

    fn gone(&mut self, _reason: Gone) {}
}

fn settings() -> Settings {
    Settings {
        path: "/socket.io/".into(),
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(200),
        max_payload: 1_000_000,
        ..Settings::default()
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let Some(port) = std::env::args().nth(1).and_then(|text| text.parse::<u16>().ok()) else {
        eprintln!("usage: socketio_echo PORT");
        return ExitCode::FAILURE;
    };
    match serve(port).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("socketio_echo: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(port: u16) -> std::io::Result<()> {
    let listener = server::bind(&format!("127.0.0.1:{port}")).await?;
    let hosting = Hosting {
        limits: Arc::new(LimitSettings::default()),
        drain_deadline: Duration::from_secs(5),
        drain: CancellationToken::new(),
        tasks: TaskTracker::new(),
    };
    let surroundings = Surroundings {
        edge: EdgeId::from_random(std::array::from_fn(|_| fastrand::u8(..))),
        origins: Arc::new(Origins::none()),
        tasks: hosting.tasks.clone(),
        drain: hosting.drain.clone(),
        elsewhere: None,
    };
    let router = engineio::router(settings(), Server::new(Arc::new(Echo)), surroundings);
    println!("listening on {}", listener.local_addr()?);
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.cancel();
        }
    });
    server::host(listener, router, hosting, shutdown, || {}).await;
    Ok(())
}
