//! An Engine.IO server that sends every message back: `cargo run --example engineio_echo -- PORT`.
//!
//! It shows that Engine.IO needs nothing of what Weir builds on it, and is what the official test suite is run against.
//! Two more arguments set other times than those of the suite: ping interval and ping timeout in milliseconds.

use std::process::ExitCode;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use edge::config::LimitSettings;
use edge::engineio::{self, Ended, Message, Opened, Outbox, Protocol, Service, Settings, Surroundings};
use edge::origins::Origins;
use edge::server::{self, Hosting};
use shared::EdgeId;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Begins an echo for each client.
struct Echoes;

/// Says what it is told. The client is not read while it does not take what it is said.
struct Echo;

impl Service for Echoes {
    type Protocol = Echo;

    fn open(&self, _: &Opened<'_>) -> Echo {
        Echo
    }
}

impl Protocol for Echo {
    fn wants_message(&self) -> bool {
        true
    }

    fn message(&mut self, message: Message, out: &mut Outbox) {
        match message {
            Message::Text(text) => out.text(&[&text]),
            Message::Binary(bytes) => out.binary_shared(&bytes),
        }
    }

    fn poll(&mut self, _: &mut Context<'_>, _: bool, _: &mut Outbox) -> Poll<()> {
        Poll::Pending
    }

    fn drain(&mut self, out: &mut Outbox) {
        out.close();
    }

    fn ended(&mut self, _: Ended) {}
}

fn settings(ping_interval_ms: u64, ping_timeout_ms: u64) -> Settings {
    Settings {
        path: "/engine.io/".into(),
        ping_interval: Duration::from_millis(ping_interval_ms),
        ping_timeout: Duration::from_millis(ping_timeout_ms),
        max_payload: 1_000_000,
        ..Settings::default()
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let numbers: Option<Vec<u64>> = std::env::args().skip(1).map(|text| text.parse().ok()).collect();
    let (port, settings) = match numbers.as_deref() {
        Some([port]) => (*port, settings(300, 200)),
        Some([port, interval_ms, timeout_ms]) => (*port, settings(*interval_ms, *timeout_ms)),
        _ => {
            eprintln!("usage: engineio_echo PORT [PING_INTERVAL_MS PING_TIMEOUT_MS]");
            return ExitCode::FAILURE;
        }
    };
    match serve(port, settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("engineio_echo: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(port: u64, settings: Settings) -> std::io::Result<()> {
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
    let router = engineio::router(settings, Echoes, surroundings);
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
