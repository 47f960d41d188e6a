//! What the tests send and read again and again: lines of a tail, lines of publishers and the answers to them.

use serde_json::Value;

use crate::fake_edge::{Conversation, FakeEdge};
use crate::weir_process::{Weir, weir};

/// A line of a tail: event number `n` of stream `a`.
pub(crate) fn event(n: u64) -> String {
    let data = format!("event {n}");
    format!("{{\"id\":\"{n}-0\",\"stream\":\"a\",\"data\":\"{data}\",\"cursor\":\"{n}-0.{n}\"}}\n")
}

/// Several of them.
pub(crate) fn events(numbers: std::ops::RangeInclusive<u64>) -> String {
    numbers.map(event).collect()
}

/// The line that says that nothing more is there.
pub(crate) const CAUGHT_UP: &str = "{\"control\":\"caught_up\",\"stream\":\"a\",\"cursor\":\"9-0.9\"}\n";

/// A tail of stream `a` that prints the data alone.
pub(crate) fn tail(edge: &FakeEdge, args: &[&str]) -> Weir {
    let url = edge.url();
    let fixed = ["tail", "a", "--output", "raw", "--url", url.as_str()];
    weir(fixed.iter().chain(args).copied())
}

/// A publisher to stream `log:a`.
pub(crate) fn publish(edge: &FakeEdge, args: &[&str]) -> Weir {
    let url = edge.url();
    let fixed = ["publish", "log:a", "--url", url.as_str()];
    weir(fixed.iter().chain(args).copied())
}

/// The next line that a publisher sends.
pub(crate) async fn next_event(request: &mut Conversation) -> Value {
    serde_json::from_str(&request.body_line().await.expect("another line")).unwrap()
}

/// The text in the next line that a publisher sends.
pub(crate) async fn next_data(request: &mut Conversation) -> String {
    next_event(request).await["data"].as_str().unwrap().to_owned()
}

/// The answer to a line that was published.
pub(crate) fn published(n: u64) -> String {
    format!("{{\"id\":\"{n}-0\",\"cursor\":\"{n}-0.{n}\"}}\n")
}

/// The answer to a line, or a request, that was not.
pub(crate) fn error(code: &str) -> String {
    format!("{{\"error\":{{\"code\":\"{code}\",\"message\":\"it is {code}\"}}}}\n")
}
