//! What a session that polls says last, and its end, come in two answers.
//!
//! The official Socket.IO client decodes a whole answer before it hands on the first message of it. If the answer also
//! holds the end, the messages come to its socket when that is closed already: it keeps them for its next session, and
//! asks for them again, because it has not seen them.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use edge::config::LimitSettings;
use edge::engineio::{self, Ended, Message, Opened, Outbox, Protocol, Service, Settings, Surroundings};
use edge::origins::Origins;
use edge::server::{self, Hosting};
use shared::EdgeId;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::client::soon;

/// Says when a GET waits, which what is said now would answer.
#[derive(Clone, Default)]
struct LastWords(Arc<Notify>);

impl Service for LastWords {
    type Protocol = Self;

    fn open(&self, _: &Opened<'_>) -> Self {
        self.clone()
    }
}

impl Protocol for LastWords {
    fn wants_message(&self) -> bool {
        true
    }

    fn message(&mut self, _: Message, out: &mut Outbox) {
        self.drain(out);
    }

    fn poll(&mut self, _: &mut Context<'_>, writable: bool, _: &mut Outbox) -> Poll<()> {
        if writable {
            self.0.notify_one();
        }
        Poll::Pending
    }

    fn drain(&mut self, out: &mut Outbox) {
        out.text(&[b"last"]);
        out.text(&[b"words"]);
        out.close();
    }

    fn ended(&mut self, _: Ended) {}
}

/// A server, the token that makes it drain, and what tells that a GET waits.
async fn serve() -> (String, CancellationToken, Arc<Notify>) {
    let listener = server::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "http://{}/engine.io/?EIO=4&transport=polling",
        listener.local_addr().unwrap()
    );
    let hosting = Hosting {
        limits: Arc::new(LimitSettings::default()),
        drain_deadline: Duration::from_secs(5),
        drain: CancellationToken::new(),
        tasks: TaskTracker::new(),
    };
    let surroundings = Surroundings {
        edge: EdgeId::from_random([7; 6]),
        origins: Arc::new(Origins::none()),
        tasks: hosting.tasks.clone(),
        drain: hosting.drain.clone(),
        elsewhere: None,
    };
    let service = LastWords::default();
    let router = engineio::router(Settings::default(), service.clone(), surroundings);
    let shutdown = CancellationToken::new();
    tokio::spawn(server::host(listener, router, hosting, shutdown.clone(), || {}));
    (url, shutdown, service.0)
}

async fn get(url: &str) -> (u16, String) {
    // An error means that another test of this process was first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let response = reqwest::get(url).await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

async fn open(url: &str) -> String {
    let (_, body) = get(url).await;
    let open: serde_json::Value = serde_json::from_str(&body[1..]).unwrap();
    format!("{url}&sid={}", open["sid"].as_str().unwrap())
}

#[tokio::test]
async fn the_end_comes_behind_the_last_words() {
    let (url, _shutdown, _) = serve().await;
    let session = open(&url).await;
    let post = reqwest::Client::new().post(&session).body("4x").send();
    // How that is answered does not matter here.
    let post = tokio::spawn(async move { drop(post.await.unwrap()) });
    assert_eq!(get(&session).await, (200, "4last\u{1e}4words".to_owned()));
    assert_eq!(get(&session).await, (200, "1".to_owned()));
    assert_eq!(get(&session).await.0, 400);
    post.await.unwrap();
}

#[tokio::test]
async fn it_does_when_the_edge_stops() {
    let (url, shutdown, get_waits) = serve().await;
    let session = open(&url).await;
    let waiting = tokio::spawn({
        let session = session.clone();
        async move { get(&session).await }
    });
    soon("the GET to wait", get_waits.notified()).await;
    shutdown.cancel();
    assert_eq!(waiting.await.unwrap(), (200, "4last\u{1e}4words".to_owned()));
}
