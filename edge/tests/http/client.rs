//! What the tests use to talk to an edge. Everything waits with a deadline.

use std::time::Duration;

use axum::body::Bytes;
use futures_util::StreamExt as _;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::support::TestEdge;

/// How long a test waits for anything before it fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("not in time: {what}"),
    }
}

pub(crate) fn request(edge: &TestEdge, method: &str, path: &str) -> RequestBuilder {
    // The client wants to know how it would speak TLS; a second call changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    client.request(Method::from_bytes(method.as_bytes()).unwrap(), edge.url(path))
}

pub(crate) async fn send(request: RequestBuilder) -> Response {
    within("the head of an answer", request.send()).await.unwrap()
}

/// Status and JSON body.
pub(crate) async fn json(request: RequestBuilder) -> (u16, Value) {
    let response = send(request).await;
    let status = response.status().as_u16();
    let text = within("a body", response.text()).await.unwrap();
    (
        status,
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}")),
    )
}

pub(crate) async fn get(edge: &TestEdge, path: &str) -> (u16, Value) {
    json(request(edge, "GET", path)).await
}

pub(crate) async fn post(edge: &TestEdge, path: &str, body: impl Into<String>) -> (u16, Value) {
    let request = request(edge, "POST", path).header("content-type", "application/json");
    json(request.body(body.into())).await
}

/// Publishes a number as data; returns its cursor.
pub(crate) async fn publish(edge: &TestEdge, stream: &str, n: u64) -> String {
    let (status, answer) = post(
        edge,
        &format!("/v1/streams/{stream}"),
        format!("{{\"data\":{n}}}"),
    )
    .await;
    assert_eq!(status, 201, "{answer}");
    answer["cursor"].as_str().unwrap().to_owned()
}

/// The code of an error answer.
pub(crate) fn code(answer: &Value) -> &str {
    assert!(answer["error"]["message"].is_string(), "{answer}");
    answer["error"]["code"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}"))
}

/// The data of a page's events.
pub(crate) fn data(page: &Value) -> Vec<Value> {
    let events = page["events"].as_array().unwrap_or_else(|| panic!("{page}"));
    events.iter().map(|event| event["data"].clone()).collect()
}

/// An upload of lines whose body stays open: lines go in, answers come out.
pub(crate) struct Upload {
    body: Option<mpsc::Sender<Result<Bytes, std::io::Error>>>,
    answers: futures_util::stream::BoxStream<'static, reqwest::Result<Bytes>>,
    buffer: Vec<u8>,
}

impl Upload {
    pub(crate) async fn start(edge: &TestEdge, stream: &str) -> Self {
        let (body, mut chunks) = mpsc::channel(16);
        let stream_of_chunks = futures_util::stream::poll_fn(move |cx| chunks.poll_recv(cx));
        let request = request(edge, "POST", &format!("/v1/streams/{stream}"))
            .header("content-type", "application/x-ndjson")
            .body(reqwest::Body::wrap_stream(stream_of_chunks));
        let response = send(request).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/x-ndjson");
        Self {
            body: Some(body),
            answers: response.bytes_stream().boxed(),
            buffer: Vec::new(),
        }
    }

    pub(crate) async fn write(&mut self, text: impl Into<Bytes>) {
        let body = self.body.as_ref().unwrap();
        within("room for a chunk", body.send(Ok(text.into())))
            .await
            .unwrap();
    }

    /// Ends the body.
    pub(crate) fn finish(&mut self) {
        self.body = None;
    }

    /// Cuts the connection in the middle of the body.
    pub(crate) async fn cut(mut self) {
        let body = self.body.take().unwrap();
        let _ = body.send(Err(std::io::Error::other("cut"))).await;
    }

    /// The next answer; `None` when there are no more.
    pub(crate) async fn answer(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            match within("an answer", self.answers.next()).await {
                Some(chunk) => self.buffer.extend_from_slice(&chunk.unwrap()),
                None => {
                    assert!(self.buffer.is_empty(), "an answer was cut");
                    return None;
                }
            }
        }
    }

    /// Everything that is still answered.
    pub(crate) async fn rest(&mut self) -> Vec<Value> {
        let mut rest = Vec::new();
        while let Some(answer) = self.answer().await {
            rest.push(answer);
        }
        rest
    }
}

/// A plain socket, for what no client library would send.
pub(crate) struct Raw(pub(crate) TcpStream);

impl Raw {
    pub(crate) async fn connect(edge: &TestEdge) -> Self {
        Self(
            within("a connection", TcpStream::connect(edge.address))
                .await
                .unwrap(),
        )
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        within("room in a socket", self.0.write_all(bytes)).await.unwrap();
    }

    /// Everything until the edge closes the connection.
    pub(crate) async fn read_to_end(&mut self) -> String {
        let mut bytes = Vec::new();
        // A reset ends the connection as well; what was read before it counts.
        let _ = within("the end of a connection", self.0.read_to_end(&mut bytes)).await;
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Reads until `needle` has come.
    pub(crate) async fn read_until(&mut self, needle: &str) -> String {
        let mut bytes = Vec::new();
        let mut chunk = [0; 4096];
        while !String::from_utf8_lossy(&bytes).contains(needle) {
            let count = within(needle, self.0.read(&mut chunk)).await.unwrap();
            assert_ne!(
                count,
                0,
                "ended before {needle:?}: {}",
                String::from_utf8_lossy(&bytes)
            );
            bytes.extend_from_slice(&chunk[..count]);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
