//! A log that takes nothing until it is told to: what a socket has under way waits in order, and is bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use broker::{
    AppendError, Edges, EphemeralError, Hub, Log, MemoryLog, NewEvent, Page, ReadError, ReadRequest, Receipt,
    Sessions, Unavailable,
};
use edge::config::Config;
use serde_json::json;
use shared::{Event, StreamName};
use tokio::sync::Semaphore;

use crate::client::{Client, DEADLINE};
use crate::support::TestEdge;

/// An in-memory log with a gate in front of its queue.
struct SlowLog {
    inner: Arc<MemoryLog>,
    gate: Semaphore,
    /// How many submits have come to the gate.
    come: AtomicUsize,
}

#[async_trait]
impl Log for SlowLog {
    async fn submit(&self, stream: &StreamName, events: Vec<NewEvent>) -> Result<Receipt, AppendError> {
        self.come.fetch_add(1, Ordering::Relaxed);
        self.gate.acquire().await.unwrap().forget();
        self.inner.submit(stream, events).await
    }

    async fn read(&self, stream: &StreamName, request: &ReadRequest) -> Result<Page, ReadError> {
        self.inner.read(stream, request).await
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

    async fn check(&self) -> Result<(), Unavailable> {
        self.inner.check().await
    }

    fn hub(&self) -> &Arc<Hub> {
        self.inner.hub()
    }
}

const CONFIG: &str = r#"
[drain]
deadline = "40s"
[socketio]
publishes_in_flight = 4
[[socketio.routes]]
event = "enter"
action = "subscribe"
streams = ["a:{0}", "b:{0}", "c:{0}"]
announce = { event = "entered" }
"#;

async fn slow() -> (Arc<SlowLog>, TestEdge, Client) {
    let config = Config::from_toml(CONFIG).unwrap();
    let log = Arc::new(SlowLog {
        inner: MemoryLog::new(config.memory_config()),
        gate: Semaphore::new(0),
        come: AtomicUsize::new(0),
    });
    let edge = TestEdge::start_on(Arc::clone(&log) as Arc<dyn Log>, config).await;
    let mut client = Client::start(&edge.url("")).await;
    client.connected().await;
    (log, edge, client)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_announcements_wait_for_their_place_one_behind_the_other() {
    let (log, _edge, mut client) = slow().await;
    assert_eq!(client.ask("enter", json!([1])).await["ok"], true);
    for stream in ["a:1", "b:1", "c:1"] {
        log.gate.add_permits(1);
        let event = client.ordinary().await;
        assert_eq!(
            (event.name.as_str(), &event.meta()["stream"]),
            ("entered", &json!(stream))
        );
    }
    // It takes events as before: nothing of what was under way is counted any more.
    log.gate.add_permits(100);
    for n in 0..10 {
        let answer = client.ask("publish", json!([{"stream": "a:1", "data": n}])).await;
        assert!(answer["id"].is_string());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishes_wait_for_the_log_and_are_answered_in_order() {
    let (log, _edge, mut client) = slow().await;
    client.ask("subscribe", json!([{"stream": "a"}])).await;
    let mut acks = Vec::new();
    for n in 0..20 {
        acks.push(
            client
                .emit_with_ack("publish", json!([{"stream": "a", "data": n}]))
                .await,
        );
    }
    log.gate.add_permits(100);
    for ack in acks {
        assert!(client.ack(ack).await["id"].is_string());
    }
    for n in 0..20 {
        assert_eq!(client.ordinary().await.data(), n);
    }
}

/// Waits for a condition.
async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while !holds().await {
        assert!(
            tokio::time::Instant::now() < deadline,
            "waited too long for {what}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_waits_for_the_answer_to_a_publish() {
    let (log, edge, mut client) = slow().await;
    let publish = json!([{"stream": "a", "data": 1}]);
    let ack = client.emit_with_ack("publish", publish).await;
    until("the publish", async || log.come.load(Ordering::Relaxed) == 1).await;
    edge.shutdown.cancel();
    until("the edge to stop", async || {
        tokio::net::TcpStream::connect(edge.address).await.is_err()
    })
    .await;
    log.gate.add_permits(1);
    assert!(client.ack(ack).await["id"].is_string());
    assert_eq!(client.disconnected().await, "transport close");
}
