//! The end of an edge: nobody new, everybody to an end, nobody waited for in vain.

use std::time::{Duration, Instant};

use edge::config::Config;

use crate::client::{Raw, code, get, within};
use crate::support::TestEdge;

async fn ended(edge: &mut TestEdge) {
    within("the end of the edge", &mut edge.server)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn idle_and_silent_connections_do_not_hold_the_end_up() {
    let mut edge = TestEdge::start().await;
    let mut idle = Raw::connect(&edge).await;
    idle.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    idle.read_until("\"ok\"").await;
    let mut silent = Raw::connect(&edge).await;
    silent.write(b"GET /hea").await;
    within("both connections", async {
        while edge.state.tasks.len() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let begun = Instant::now();
    edge.shutdown.cancel();
    assert_eq!(idle.read_to_end().await, "");
    silent.read_to_end().await;
    ended(&mut edge).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_request_that_is_under_way_is_answered() {
    let mut edge = TestEdge::start().await;
    let mut raw = Raw::connect(&edge).await;
    let head = "POST /v1/streams/a HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 10\r\n\r\n";
    raw.write(head.as_bytes()).await;
    // Told to go on, so the handler waits for the body.
    raw.read_until("100 Continue").await;
    edge.shutdown.cancel();
    within("the drain", edge.state.drain.cancelled()).await;
    raw.write(b"{\"data\":1}").await;
    let answer = raw.read_to_end().await;
    assert!(answer.contains("HTTP/1.1 201 Created"), "{answer}");
    ended(&mut edge).await;
}

#[tokio::test]
async fn nobody_new_is_let_in() {
    let mut edge = TestEdge::start().await;
    assert_eq!(get(&edge, "/readyz").await.0, 200);
    // A connection that is open already can still ask, and is told.
    let mut raw = Raw::connect(&edge).await;
    raw.write(
        b"POST /v1/streams/a HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 10\r\n\r\n",
    )
    .await;
    raw.read_until("100 Continue").await;
    edge.shutdown.cancel();
    within("the drain", edge.state.drain.cancelled()).await;
    let refused = within("the refusal", async {
        while tokio::net::TcpStream::connect(edge.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    refused.await;
    raw.write(b"{\"data\":1}").await;
    assert!(raw.read_to_end().await.contains("connection: close"));
    ended(&mut edge).await;
}

#[tokio::test]
async fn who_does_not_end_is_cut_off_at_the_deadline() {
    let mut config = Config::default();
    config.drain.deadline = Duration::from_millis(100);
    let mut edge = TestEdge::start_with(config).await;
    let mut raw = Raw::connect(&edge).await;
    raw.write(
        b"POST /v1/streams/a HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 10\r\n\r\n",
    )
    .await;
    raw.read_until("100 Continue").await;
    edge.shutdown.cancel();
    ended(&mut edge).await;
    raw.read_to_end().await;
}

#[tokio::test]
async fn an_edge_that_ends_says_so() {
    let edge = TestEdge::start().await;
    let answer = |response: axum::response::Response| async {
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        (
            status,
            serde_json::from_slice::<serde_json::Value>(&body).unwrap(),
        )
    };
    edge.state.drain.cancel();
    let router = edge::app::router(edge.state.clone());
    for (path, accept) in [
        ("/readyz", "*/*"),
        ("/v1/streams/a", "text/event-stream"),
        ("/v1/tail?stream=a", "*/*"),
    ] {
        let request = axum::http::Request::get(path)
            .header("accept", accept)
            .body(axum::body::Body::empty());
        let response = tower::ServiceExt::oneshot(router.clone(), request.unwrap())
            .await
            .unwrap();
        let (status, body) = answer(response).await;
        assert_eq!((status, code(&body)), (503, "closing"), "{path}");
    }
}
