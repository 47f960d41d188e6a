//! `weir tail` as a process against an edge that fails on command: nothing is printed twice, nothing is left out,
//! and what cannot be whole is said.

#![allow(clippy::unwrap_used)]
#![allow(dead_code, reason = "the helpers are shared with other tests")]

mod fake_edge;
mod weir_process;

use std::time::Instant;

use fake_edge::FakeEdge;
use weir_process::{Weir, weir};

/// A line of a tail: event number `n` of stream `a`.
fn event(n: u64) -> String {
    format!(
        "{{\"id\":\"{n}-0\",\"stream\":\"a\",\"event\":\"message\",\"data\":\"event {n}\",\"time\":null,\"cursor\":\"{n}-0.{n}\"}}\n"
    )
}

fn events(numbers: std::ops::RangeInclusive<u64>) -> String {
    numbers.map(event).collect()
}

fn tail(edge: &FakeEdge, args: &[&str]) -> Weir {
    let url = edge.url();
    let fixed = ["tail", "a", "--output", "raw", "--url", url.as_str()];
    weir(fixed.iter().chain(args).copied())
}

const CAUGHT_UP: &str = "{\"control\":\"caught_up\",\"stream\":\"a\",\"cursor\":\"9-0.9\"}\n";

#[tokio::test]
async fn a_cut_in_the_middle_of_a_line_loses_and_doubles_nothing() {
    let edge = FakeEdge::start().await;
    let mut weir = tail(&edge, &["--from", "start"]);
    let mut first = edge.request().await;
    assert_eq!(first.target, "GET /v1/streams/a");
    assert_eq!(first.headers["accept"], "application/x-ndjson");
    assert_eq!(first.parameter("from"), Some("start"));
    first.begin_lines().await;
    first.chunk(&events(1..=2)).await;
    // Three is there to its last brace, but for the line feed; within a chunk that never ends.
    first
        .send_raw(format!("fff\r\n{}", event(3).trim_end()).as_bytes())
        .await;
    assert_eq!(weir.line().await, "event 1");
    assert_eq!(weir.line().await, "event 2");
    drop(first);

    let mut second = edge.request().await;
    assert_eq!(second.parameter("from"), Some("2-0.2"));
    second.begin_lines().await;
    second.chunk(&(events(3..=3) + &event(4)[..40])).await;
    second.end().await;
    drop(second);

    let mut third = edge.request().await;
    assert_eq!(third.parameter("from"), Some("3-0.3"));
    third.begin_lines().await;
    third.chunk(&events(4..=5)).await;
    for n in 3..=5 {
        assert_eq!(weir.line().await, format!("event {n}"));
    }
    weir.signal("TERM");
    let ended = weir.ended().await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(143), ""));
}

#[tokio::test]
async fn wherever_connections_are_cut_every_event_is_printed_once() {
    const COUNT: u64 = 200;
    let edge = FakeEdge::start().await;
    let weir = tail(&edge, &["--from", "start", "--no-follow"]);
    let mut random = fastrand::Rng::with_seed(7);
    let mut connections = 0;
    loop {
        let mut request = edge.request().await;
        connections += 1;
        let from = request.parameter("from").unwrap();
        let next = from
            .split_once('-')
            .map_or(1, |(n, _)| n.parse::<u64>().unwrap() + 1);
        request.begin_lines().await;
        let rest = events(next..=COUNT) + CAUGHT_UP;
        // Every connection makes some progress, so that the pauses stay short.
        let cut = event(next).len() + random.usize(..1_500);
        if cut >= rest.len() || next > COUNT {
            request.chunk(&rest).await;
            break;
        }
        let (mut at, end) = (0, cut);
        while at < end {
            let piece = random.usize(1..400).min(end - at);
            request.chunk(&rest[at..at + piece]).await;
            at += piece;
        }
    }
    let ended = weir.ended().await;
    let expected: String = (1..=COUNT).map(|n| format!("event {n}\n")).collect();
    assert_eq!(ended.stdout, expected);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(connections > 10, "the cuts did not happen");
}

#[tokio::test]
async fn what_an_edge_sends_again_is_not_printed_again() {
    let edge = FakeEdge::start().await;
    let weir = tail(&edge, &["--from", "start", "--no-follow"]);
    let mut first = edge.request().await;
    first.begin_lines().await;
    first.chunk(&events(1..=3)).await;
    drop(first);
    let mut second = edge.request().await;
    assert_eq!(second.parameter("from"), Some("3-0.3"));
    second.begin_lines().await;
    second.chunk(&(events(2..=5) + &events(4..=6) + CAUGHT_UP)).await;
    let ended = weir.ended().await;
    assert_eq!(
        ended.stdout,
        "event 1\nevent 2\nevent 3\nevent 4\nevent 5\nevent 6\n"
    );
    assert_eq!(ended.code, Some(0));
    assert_eq!(ended.stderr.matches("left out").count(), 1, "{}", ended.stderr);
}

#[tokio::test]
async fn an_edge_that_is_away_is_tried_again_when_it_says() {
    let edge = FakeEdge::start().await;
    let mut weir = tail(&edge, &["--last", "3"]);
    let mut first = edge.request().await;
    let error = r#"{"error":{"code":"unavailable","message":"the log is not available right now"}}"#;
    first
        .answer("503 Service Unavailable", "retry-after: 1\r\n", error)
        .await;
    let asked = Instant::now();
    let expected = format!(
        "weir: cannot reach {}: the log is not available right now (503); trying again",
        edge.url()
    );
    assert_eq!(weir.notice().await, expected);
    let mut second = edge.request().await;
    assert!(
        asked.elapsed().as_secs_f64() >= 0.99,
        "Retry-After was not respected"
    );
    assert_eq!(second.parameter("last"), Some("3"));
    second.begin_lines().await;
    second.chunk(&events(7..=7)).await;
    assert_eq!(weir.line().await, "event 7");
    assert!(weir.notice().await.starts_with("weir: connected to"));
    drop(second);
    let mut third = edge.request().await;
    assert_eq!(
        (third.parameter("last"), third.parameter("from")),
        (None, Some("7-0.7"))
    );
    third.answer("429 Too Many Requests", "", "").await;
    let fourth = edge.request().await;
    assert_eq!(fourth.parameter("from"), Some("7-0.7"));
}

#[tokio::test]
async fn a_connection_without_a_heartbeat_is_taken_for_dead() {
    let edge = FakeEdge::start().await;
    let mut weir = tail(&edge, &["--from", "start", "--heartbeat-timeout", "1s"]);
    let mut silent = edge.request().await;
    silent.begin_lines().await;
    silent.chunk(&events(1..=1)).await;
    let mut mute = edge.request().await;
    assert_eq!(mute.parameter("from"), Some("1-0.1"));
    // This one does not even answer.
    let mut alive = edge.request().await;
    assert_eq!(alive.parameter("from"), Some("1-0.1"));
    alive.begin_lines().await;
    for _ in 0..15 {
        alive.chunk("\n").await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    alive.chunk(&events(2..=2)).await;
    assert_eq!(weir.line().await, "event 1");
    assert_eq!(weir.line().await, "event 2");
    assert!(!mute.try_send_raw(b"HTTP/1.1 200 OK\r\n\r\n").await || mute.body_line().await.is_none());
}

#[tokio::test]
async fn what_cannot_heal_ends_with_one_clear_line() {
    let edge = FakeEdge::start().await;
    let weir = tail(&edge, &["--grep", "("]);
    let mut request = edge.request().await;
    assert_eq!(request.parameter("match"), Some("("));
    let error =
        r#"{"error":{"code":"invalid_parameter","message":"parameter \"match\": not a regular expression"}}"#;
    request
        .answer("400 Bad Request", "content-type: application/json\r\n", error)
        .await;
    let ended = weir.ended().await;
    assert_eq!(ended.code, Some(1));
    let expected = format!(
        "weir: {}: parameter \"match\": not a regular expression (400)\n",
        edge.url()
    );
    assert_eq!(ended.stderr, expected);

    let weir = tail(&edge, &[]);
    edge.request()
        .await
        .answer("200 OK", "content-type: text/html\r\n", "<html>")
        .await;
    let ended = weir.ended().await;
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("no edge of Weir answers there"),
        "{}",
        ended.stderr
    );
    assert_eq!(ended.stderr.lines().count(), 1);
}

#[tokio::test]
async fn nobody_there_is_given_up_on_when_asked() {
    let weir = weir(["tail", "a", "--url", "http://127.0.0.1:1", "--retry-for", "300ms"]);
    let ended = weir.ended().await;
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("cannot reach http://127.0.0.1:1: "),
        "{}",
        ended.stderr
    );
    assert!(
        ended.stderr.trim_end().ends_with("gave up after 300ms"),
        "{}",
        ended.stderr
    );
}

#[tokio::test]
async fn losses_are_told_with_their_count_and_in_the_exit_status() {
    let edge = FakeEdge::start().await;
    let weir = tail(&edge, &["--from", "1-0.1", "--no-follow"]);
    let mut request = edge.request().await;
    request.begin_lines().await;
    let gap = r#"{"control":"gap","stream":"a","lost":123,"cursor":"5-0.124"}"#;
    request.chunk(&format!("{gap}\n{}", event(200))).await;
    drop(request);
    let mut request = edge.request().await;
    request.begin_lines().await;
    let reset = r#"{"control":"reset","stream":"a","cursor":"0-0.0"}"#;
    let unverified = r#"{"control":"unverified","stream":"a","cursor":"2-0.2"}"#;
    request
        .chunk(&format!(
            "{reset}\n{}{unverified}\n{}{CAUGHT_UP}",
            event(2),
            event(3)
        ))
        .await;
    let ended = weir.ended().await;
    assert_eq!(ended.code, Some(3));
    assert_eq!(ended.stdout, "event 200\nevent 2\nevent 3\n");
    let told: Vec<&str> = ended.stderr.lines().collect();
    assert!(
        told[0].starts_with("weir: !!! GAP: 123 events of a are gone"),
        "{told:?}"
    );
    assert!(
        told[1].starts_with("weir: !!! RESET: a has another history"),
        "{told:?}"
    );
    assert!(
        told[2].starts_with("weir: !!! UNVERIFIED: whether events of a are missing"),
        "{told:?}"
    );
    assert!(!ended.stderr.contains('\x1b'), "colours without a terminal");
}

#[tokio::test]
async fn ctrl_c_tells_the_cursor_and_how_to_go_on() {
    let edge = FakeEdge::start().await;
    let mut weir = tail(&edge, &["--from", "start", "--event", "it's"]);
    let mut request = edge.request().await;
    request.begin_lines().await;
    request.chunk(&events(1..=2)).await;
    assert_eq!(weir.line().await, "event 1");
    assert_eq!(weir.line().await, "event 2");
    weir.signal("INT");
    let ended = weir.ended().await;
    assert_eq!(ended.code, Some(130));
    let told: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(told[0], "weir: 2 events printed, cursor 2-0.2; go on with:");
    let command = format!(
        "tail a --url {} --from 2-0.2 --event 'it'\\''s' --output raw",
        edge.url()
    );
    assert!(told[1].ends_with(&command), "{told:?}");
}

#[tokio::test]
async fn a_drained_edge_is_left_without_a_word() {
    let edge = FakeEdge::start().await;
    let mut weir = tail(&edge, &["--from", "start"]);
    let mut request = edge.request().await;
    request.begin_lines().await;
    request
        .chunk(&(event(1) + "{\"control\":\"reconnect\",\"cursor\":\"4-0.4\"}\n"))
        .await;
    let mut other = edge.request().await;
    assert_eq!(other.parameter("from"), Some("4-0.4"));
    other.begin_lines().await;
    other.chunk(&event(5)).await;
    assert_eq!(weir.line().await, "event 1");
    assert_eq!(weir.line().await, "event 5");
    weir.signal("INT");
    let ended = weir.ended().await;
    assert!(
        ended.stderr.starts_with("weir: 2 events printed"),
        "{}",
        ended.stderr
    );
}

#[tokio::test]
async fn several_streams_are_one_merged_tail_and_filters_go_to_the_edge() {
    let edge = FakeEdge::start().await;
    let url = edge.url();
    let args = "tail log:api doc/1 log:api --output json --event e1 --event e2 --grep a+b --since 15m --until 2030-01-01T00:00:00Z";
    let weir = weir(args.split(' ').chain(["--url", url.as_str()]));
    let mut request = edge.request().await;
    assert_eq!(request.target, "GET /v1/tail");
    let expected = [
        ("stream", "log:api"),
        ("stream", "doc/1"),
        ("until", "2030-01-01T00:00:00.000Z"),
        ("event", "e1"),
        ("event", "e2"),
        ("match", "a+b"),
        ("since", "15m"),
    ];
    let given: Vec<(&str, &str)> = request
        .query
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    assert_eq!(given, expected);
    request.begin_lines().await;
    let line =
        r#"{"id":"1-0","stream":"doc/1","event":"e1", "data":{"b": 1},"cursor":"doc/1~1-0.1,log:api~0-0.0"}"#;
    request
        .chunk(&format!("{line}\n{{\"control\":\"ended\",\"cursor\":\"x\"}}\n"))
        .await;
    let ended = weir.ended().await;
    assert_eq!((ended.code, ended.stdout), (Some(0), format!("{line}\n")));
}
