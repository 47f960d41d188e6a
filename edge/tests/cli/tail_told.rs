//! What a tail tells: losses, its cursor, what cannot heal; and what it asks of the edge.

use crate::fake_edge::FakeEdge;
use crate::script::{CAUGHT_UP, event, events, tail};
use crate::weir_process::weir;

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
async fn an_outage_is_told_in_a_line_each_and_is_no_loss() {
    let edge = FakeEdge::start().await;
    let weir = tail(&edge, &["--from", "1-0.1", "--no-follow"]);
    let mut request = edge.request().await;
    request.begin_lines().await;
    let away = r#"{"control":"degraded","stream":"a","since":"2026-01-01T00:00:00.000Z"}"#;
    let back = r#"{"control":"restored","stream":"a","cursor":"2-0.2"}"#;
    request
        .chunk(&format!("{away}\n{}{back}\n{CAUGHT_UP}", event(2)))
        .await;
    let ended = weir.ended().await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "event 2\n"));
    assert_eq!(
        ended.stderr,
        "weir: a: the log is away, nothing comes until it is back\nweir: a: the log is back\n"
    );
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
