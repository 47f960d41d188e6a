//! Publishers that are refused, all or in part, and what they say about it.

use serde_json::{Value, json};

use crate::fake_edge::FakeEdge;
use crate::script::{error, next_data, next_event, publish, published};

#[tokio::test]
async fn an_edge_that_changes_the_order_is_told_on() {
    let edge = FakeEdge::start().await;
    let mut weir = publish(&edge, &[]);
    weir.type_in("1\n2\n3\n").await;
    weir.close_input();
    let mut request = edge.request().await;
    while request.body_line().await.is_some() {}
    request.begin_lines().await;
    request
        .chunk(&(published(1) + &error("full") + &published(2)))
        .await;
    request.end().await;
    let mut request = edge.request().await;
    assert_eq!(next_data(&mut request).await, "2");
    assert_eq!(request.body_line().await, None);
    request.begin_lines().await;
    request.chunk(&published(3)).await;
    request.end().await;
    let ended = weir.ended().await;
    assert_eq!(ended.code, Some(3));
    assert!(ended.stderr.contains("weir: !!! ORDER: 1 "), "{}", ended.stderr);
}

#[tokio::test]
async fn lines_that_are_refused_are_named_and_do_not_stop_the_others() {
    let edge = FakeEdge::start().await;
    let mut weir = publish(&edge, &["--json"]);
    weir.type_in("{\"a\": 1}\n\n{\"a\"\n[2]\n3\n").await;
    weir.close_input();
    let mut request = edge.request().await;
    let mut keys = Vec::new();
    while let Some(line) = request.body_line().await {
        let event: Value = serde_json::from_str(&line).unwrap();
        keys.push(
            event["key"]
                .as_str()
                .unwrap()
                .rsplit_once('-')
                .unwrap()
                .1
                .to_owned(),
        );
    }
    assert_eq!(keys, ["1", "4", "5"]);
    request.begin_lines().await;
    request
        .chunk(&(published(1) + &error("too_large") + &published(2)))
        .await;
    request.end().await;
    let ended = weir.ended().await;
    assert_eq!(ended.code, Some(1));
    let told: Vec<&str> = ended.stderr.lines().collect();
    assert!(
        told[0].starts_with("weir: line 3 was not sent: not JSON: "),
        "{told:?}"
    );
    assert_eq!(told[1], "weir: line 4 was refused: it is too_large");
    assert!(
        told[2].contains("2 lines published") && told[2].ends_with("; 2 lines refused"),
        "{told:?}"
    );
}

#[tokio::test]
async fn stop_on_error_ends_at_the_first_refusal() {
    let edge = FakeEdge::start().await;
    let mut weir = publish(&edge, &["--stop-on-error"]);
    weir.type_in("1\n2\n3\n").await;
    let mut request = edge.request().await;
    for _ in 0..3 {
        next_event(&mut request).await;
    }
    request.begin_lines().await;
    request.chunk(&(published(1) + &error("too_large"))).await;
    let ended = weir.ended().await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("line 2 was refused"), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("!!! 1 unacknowledged (lines 3 to 3)"),
        "{}",
        ended.stderr
    );
}

#[tokio::test]
async fn a_request_that_cannot_be_right_ends_it() {
    let edge = FakeEdge::start().await;
    let mut weir = publish(&edge, &["--key", "k"]);
    let lines = "x".repeat(500) + "\n";
    weir.type_in(&lines.repeat(100)).await;
    let mut request = edge.request().await;
    request
        .answer(
            "400 Bad Request",
            "content-type: application/json\r\n",
            &error("invalid_stream"),
        )
        .await;
    drop(request);
    let ended = weir.ended().await;
    assert_eq!(ended.code, Some(1));
    let told: Vec<&str> = ended.stderr.lines().collect();
    assert!(told[0].starts_with("weir: 0 lines published"), "{told:?}");
    assert!(
        told[1].contains("100 unacknowledged (lines 1 to 100)"),
        "{told:?}"
    );
    assert!(
        told[1].ends_with("the same --key with the same lines makes up for it"),
        "{told:?}"
    );
    assert_eq!(
        told[2],
        format!("weir: {}: it is invalid_stream (400)", edge.url())
    );
}

#[tokio::test]
async fn where_large_requests_are_refused_they_are_kept_small() {
    let edge = FakeEdge::start().await;
    let mut weir = publish(&edge, &[]);
    let line = "x".repeat(99) + "\n";
    let feed = async {
        weir.type_in(&line.repeat(9_000)).await;
        weir.ended().await
    };
    let serve = async {
        let mut request = edge.request().await;
        request.answer("413 Payload Too Large", "", "").await;
        drop(request);
        let mut count = 0;
        while count < 9_000 {
            let mut request = edge.request().await;
            let mut answers = String::new();
            let mut bytes = 0;
            while let Some(line) = request.body_line().await {
                bytes += line.len();
                count += 1;
                answers += &published(count);
            }
            assert!(bytes < 700_000, "{bytes} in one request");
            request.begin_lines().await;
            request.chunk(&answers).await;
            request.end().await;
        }
    };
    let (ended, ()) = tokio::join!(feed, serve);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("sending in small requests from here on"),
        "{}",
        ended.stderr
    );
}

#[tokio::test]
async fn ctrl_c_says_what_is_unacknowledged() {
    let edge = FakeEdge::start().await;
    let mut weir = publish(&edge, &[]);
    weir.type_in("1\n2\n3\n").await;
    let mut request = edge.request().await;
    for _ in 0..3 {
        next_event(&mut request).await;
    }
    request.begin_lines().await;
    request.chunk(&published(1)).await;
    weir.signal("INT");
    let ended = weir.ended().await;
    assert_eq!(ended.code, Some(130));
    let expected = "weir: !!! 2 unacknowledged (lines 2 to 3): they may have been published or not";
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
}

#[tokio::test]
async fn one_event_is_published_and_printed() {
    let edge = FakeEdge::start().await;
    let weir = publish(&edge, &["{\"a\":1}", "--json", "--event", "e"]);
    let mut request = edge.request().await;
    let first: Value = serde_json::from_str(&request.whole_body().await).unwrap();
    assert_eq!((&first["event"], &first["data"]), (&json!("e"), &json!({"a": 1})));
    request
        .answer("503 Service Unavailable", "", &error("unavailable"))
        .await;
    let mut request = edge.request().await;
    drop(request.whole_body().await);
    drop(request);
    let mut request = edge.request().await;
    let third: Value = serde_json::from_str(&request.whole_body().await).unwrap();
    assert_eq!(third, first, "the same key each time");
    request
        .answer("201 Created", "content-type: application/json\r\n", &published(5))
        .await;
    let ended = weir.ended().await;
    assert_eq!((ended.code, ended.stdout), (Some(0), published(5)));

    let ended = publish(&edge, &["{", "--json"]).ended().await;
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.stderr.starts_with("weir: the data are not JSON: "),
        "{}",
        ended.stderr
    );

    let weir = publish(&edge, &["text", "--key", "k 1", "--retry-for", "200ms"]);
    let mut request = edge.request().await;
    let event: Value = serde_json::from_str(&request.whole_body().await).unwrap();
    assert_eq!(event, json!({"data": "text", "key": "k 1"}));
    request
        .answer(
            "503 Service Unavailable",
            "retry-after: 9\r\n",
            &error("unavailable"),
        )
        .await;
    let ended = weir.ended().await;
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("publish it again with --key k 1"),
        "{}",
        ended.stderr
    );
}
