//! What operators see of Socket.IO.

use serde_json::json;

use crate::client::{Client, DEADLINE, over};
use crate::engines::{Engine, config};
use crate::proxy::RoundRobin;
use crate::support::TestEdge;

/// A line of `/metrics`: everything before the value names it.
async fn metric(edge: &TestEdge, line: &str) -> f64 {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(edge.address).await.unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let value = text
        .lines()
        .find_map(|known| known.strip_prefix(line)?.strip_prefix(' '));
    value.map_or(0.0, |value| value.trim().parse().unwrap())
}

/// Waits until a metric is above what it was by so much. Tests share a process, so others may raise it too.
async fn rises(edge: &TestEdge, line: &str, before: f64, by: f64) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        let now = metric(edge, line).await;
        if now >= before + by {
            return;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "{line}: {before} became {now}"
        );
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_sessions_and_events_are_counted() {
    let mut config = config();
    let namespaces = r#"socketio.namespaces = [{ name = "/counted-*" }]"#;
    config.socketio = edge::config::Config::from_toml(namespaces).unwrap().socketio;
    let engine = Engine::memory(config).await;
    let edge = engine.edge().await;
    let sockets = r#"weir_socketio_sockets{namespace="/counted-*"}"#;
    let lines = [
        r#"weir_socketio_sessions_total{how="fresh"}"#,
        r#"weir_socketio_sessions_total{how="recovered"}"#,
        r#"weir_socketio_sessions_total{how="lost"}"#,
        r#"weir_socketio_events_total{to="built_in"}"#,
        r#"weir_socketio_events_total{to="refused"}"#,
        r#"weir_deliveries_total{transport="socketio"}"#,
        r#"weir_publishes_total{transport="socketio",outcome="ok"}"#,
        r#"weir_engine_sessions_opened_total{transport="websocket"}"#,
    ];
    let mut before = Vec::new();
    for line in lines {
        before.push(metric(&edge, line).await);
    }
    let mut client = Client::start(&edge.url("/counted-1")).await;
    client.connected().await;
    assert_eq!(metric(&edge, sockets).await, 1.0);
    client.ask("subscribe", json!([{"stream": "a"}])).await;
    client.ask("publish", json!([{"stream": "a", "data": 1}])).await;
    client.ordinary().await;
    client.ask("sing", json!([])).await;
    client.tell(json!({"do": "cut"})).await;
    assert_eq!(client.connected().await["recovered"], true);
    let claim = json!({"do": "claim", "pid": "AAAAAAAAAAAAAAAAAAAAAAAA"});
    client.tell(claim).await;
    client.tell(json!({"do": "cut"})).await;
    assert_eq!(client.connected().await["recovered"], false);
    for (line, before) in lines.into_iter().zip(before) {
        let by = if line.contains("engine_sessions") {
            3.0
        } else {
            1.0
        };
        rises(&edge, line, before, by).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_are_taken_to_other_edges_are_counted() {
    let engine = Engine::memory(config()).await;
    let edges = crate::two_edges(&engine).await;
    let proxy = RoundRobin::start(edges.iter().map(|edge| edge.address).collect()).await;
    let answered = r#"weir_forwarded_total{kind="request",outcome="answered"}"#;
    let gone = r#"weir_forwarded_total{kind="request",outcome="gone"}"#;
    let before = (metric(&edges[0], answered).await, metric(&edges[0], gone).await);
    let mut client = Client::start_with(&proxy.url(), over("polling")).await;
    client.connected().await;
    client.ask("publish", json!([{"stream": "a", "data": 1}])).await;
    rises(&edges[0], answered, before.0, 1.0).await;
    // A session of an edge that never was.
    let url = edges[0].url("/socket.io/?EIO=4&transport=polling&sid=nowhere_0123456789abcdef");
    assert_eq!(get(&url).await, r#"{"code":1,"message":"Session ID unknown"}"#);
    rises(&edges[0], gone, before.1, 1.0).await;
}

/// The body of an answer.
async fn get(url: &str) -> String {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::get(url).await.unwrap().text().await.unwrap()
}
