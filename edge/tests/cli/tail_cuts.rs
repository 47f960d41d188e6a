//! Tails that are cut: nothing is printed twice, nothing is left out.

use std::time::Instant;

use crate::fake_edge::FakeEdge;
use crate::script::{CAUGHT_UP, event, events, tail};

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
