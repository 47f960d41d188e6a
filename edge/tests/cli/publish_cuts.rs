//! Publishers that are cut off: nothing is lost, nothing is doubled, the order stays.

use std::time::Instant;

use serde_json::{Value, json};

use crate::fake_edge::FakeEdge;
use crate::script::{error, next_data, next_event, publish, published};

#[tokio::test]
async fn lines_are_sent_as_they_come_and_answered_while_the_request_goes_on() {
    let edge = FakeEdge::start().await;
    let mut weir = publish(&edge, &["--event", "access"]);
    weir.type_in("one\n").await;
    let mut request = edge.request().await;
    assert_eq!(request.target, "POST /v1/streams/log:a");
    assert_eq!(request.headers["content-type"], "application/x-ndjson");
    let first = next_event(&mut request).await;
    let key = first["key"]
        .as_str()
        .unwrap()
        .strip_suffix("-1")
        .unwrap()
        .to_owned();
    assert_eq!(
        first,
        json!({"event": "access", "data": "one", "key": format!("{key}-1")})
    );
    request.begin_lines().await;
    request.chunk(&published(1)).await;
    // The request is still open, and goes on.
    weir.type_in("two \"quoted\"\r\n\nfour").await;
    let second = next_event(&mut request).await;
    assert_eq!(second["data"], "two \"quoted\"");
    let third = next_event(&mut request).await;
    assert_eq!(
        (&third["data"], &third["key"]),
        (&json!(""), &json!(format!("{key}-3")))
    );
    request.chunk(&published(2)).await;
    weir.close_input();
    assert_eq!(
        next_data(&mut request).await,
        "four",
        "a last line without a line feed"
    );
    assert_eq!(request.body_line().await, None, "the body ends with the input");
    request.chunk(&(published(3) + &published(4))).await;
    request.end().await;
    let ended = weir.ended().await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""));
    assert!(
        ended.stderr.starts_with("weir: 4 lines published to log:a in "),
        "{}",
        ended.stderr
    );
    assert_eq!(ended.stderr.lines().count(), 1);
}

#[tokio::test]
async fn what_was_not_answered_when_the_edge_was_cut_off_is_sent_again_in_order() {
    let edge = FakeEdge::start().await;
    let mut weir = publish(&edge, &["--key", "file 7"]);
    weir.type_in("1\n2\n3\n4\n5\n").await;
    weir.close_input();
    let mut first = edge.request().await;
    first.begin_lines().await;
    for n in 1..=5 {
        assert_eq!(next_data(&mut first).await, n.to_string());
    }
    // Two answers, and the third but for its line feed.
    first
        .chunk(&(published(1) + &published(2) + published(3).trim_end()))
        .await;
    drop(first);
    let mut second = edge.request().await;
    for n in 3..=5 {
        let event = next_event(&mut second).await;
        assert_eq!(
            event,
            json!({"data": n.to_string(), "key": format!("file 7-{n}")})
        );
    }
    second.begin_lines().await;
    second
        .chunk("{\"id\":\"3-0\",\"cursor\":\"3-0.3\",\"duplicate\":true}\n")
        .await;
    second.chunk(&(published(4) + &published(5))).await;
    second.end().await;
    let ended = weir.ended().await;
    assert_eq!(ended.code, Some(0));
    assert!(ended.stderr.contains("5 lines published"), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("1 of them were there already"),
        "{}",
        ended.stderr
    );
}

#[tokio::test]
async fn whatever_is_cut_the_stream_is_the_input() {
    const COUNT: usize = 3_000;
    let edge = FakeEdge::start().await;
    let mut weir = publish(&edge, &[]);
    let input: String = (0..COUNT).map(|n| format!("line {n}\n")).collect();
    let mut random = fastrand::Rng::with_seed(11);
    let (mut stream, mut places, mut requests) = (Vec::new(), std::collections::HashMap::new(), 0);
    let serve = async {
        loop {
            let mut request = edge.request().await;
            requests += 1;
            request.begin_lines().await;
            let lives = random.usize(5..300);
            for taken in 0..lives {
                let Some(line) = request.body_line().await else {
                    request.end().await;
                    break;
                };
                let event: Value = serde_json::from_str(&line).unwrap();
                let next = stream.len() as u64 + 1;
                let key = event["key"].as_str().unwrap().to_owned();
                let place = *places.entry(key).or_insert(next);
                if place == next {
                    stream.push(event["data"].as_str().unwrap().to_owned());
                }
                // The last few are appended, and the answer is lost; or half of it is.
                let answer = published(place);
                match lives - taken {
                    1 => drop(
                        request
                            .try_send_raw(format!("fff\r\n{}", &answer[..20]).as_bytes())
                            .await,
                    ),
                    2..5 => {}
                    _ => request.chunk(&answer).await,
                }
            }
        }
    };
    let produce = async {
        weir.type_in(&input).await;
        weir.ended().await
    };
    let ended = tokio::select! {
        ended = produce => ended,
        () = serve => unreachable!(),
    };
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(stream.concat(), input.replace('\n', ""));
    assert!(requests > 10, "the cuts did not happen");
}

#[tokio::test]
async fn an_edge_that_is_away_is_tried_again_when_it_says() {
    let edge = FakeEdge::start().await;
    let mut weir = publish(&edge, &[]);
    weir.type_in("one\n").await;
    weir.close_input();
    let mut request = edge.request().await;
    request
        .answer("503 Service Unavailable", "retry-after: 1\r\n", &error("closing"))
        .await;
    let asked = Instant::now();
    let mut request = edge.request().await;
    assert!(
        asked.elapsed().as_secs_f64() >= 0.99,
        "Retry-After was not respected"
    );
    assert_eq!(next_data(&mut request).await, "one");
    request.begin_lines().await;
    request.chunk(&published(1)).await;
    request.end().await;
    let ended = weir.ended().await;
    assert_eq!(ended.code, Some(0));
    assert!(
        ended.stderr.contains("it is closing (503); trying again"),
        "{}",
        ended.stderr
    );
}

#[tokio::test]
async fn lines_that_are_put_off_are_sent_again_in_order() {
    let edge = FakeEdge::start().await;
    let mut weir = publish(&edge, &[]);
    weir.type_in("1\n2\n3\n").await;
    let mut request = edge.request().await;
    for n in 1..=3 {
        assert_eq!(next_data(&mut request).await, n.to_string());
    }
    request.begin_lines().await;
    request
        .chunk(&(published(1) + &error("unavailable") + &error("unconfirmed")))
        .await;
    let mut request = edge.request().await;
    assert_eq!(next_data(&mut request).await, "2");
    assert_eq!(next_data(&mut request).await, "3");
    weir.type_in("4\n").await;
    request.begin_lines().await;
    request.chunk(&(published(2) + &published(3))).await;
    assert_eq!(next_data(&mut request).await, "4");
    weir.close_input();
    assert_eq!(request.body_line().await, None);
    request.chunk(&published(4)).await;
    request.end().await;
    let ended = weir.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[tokio::test]
async fn where_nothing_is_answered_requests_are_kept_short() {
    let edge = FakeEdge::start().await;
    let mut weir = publish(&edge, &["--answer-timeout", "500ms"]);
    weir.type_in("1\n2\n").await;
    // A proxy that waits for the end of the request, which does not come.
    let mute = edge.request().await;
    mute.closed_by_client().await;
    let mut request = edge.request().await;
    assert_eq!(next_data(&mut request).await, "1");
    assert_eq!(next_data(&mut request).await, "2");
    assert_eq!(
        request.body_line().await,
        None,
        "the request ends though the input does not"
    );
    request.begin_lines().await;
    request.chunk(&(published(1) + &published(2))).await;
    request.end().await;
    weir.type_in("3\n").await;
    let mut request = edge.request().await;
    assert_eq!(next_data(&mut request).await, "3");
    assert_eq!(request.body_line().await, None);
    request.begin_lines().await;
    request.chunk(&published(3)).await;
    request.end().await;
    assert_eq!(weir.ended().await.code, Some(0));
}

#[tokio::test]
async fn without_answers_no_more_is_read_than_can_be_kept() {
    let edge = FakeEdge::start().await;
    let mut weir = publish(&edge, &[]);
    let lines = "x\n".repeat(200_000);
    let feed = async {
        weir.type_in(&lines).await;
        weir
    };
    let serve = async {
        let mut request = edge.request().await;
        request.begin_lines().await;
        let mut count = 0;
        let quiet = std::time::Duration::from_millis(700);
        while let Ok(line) = tokio::time::timeout(quiet, request.body_line()).await {
            assert!(line.is_some());
            count += 1;
        }
        // The bound, and the one batch that went beyond it.
        assert!(
            (10_000..=50_000).contains(&count),
            "{count} lines were sent without an answer"
        );
    };
    tokio::select! {
        _ = feed => panic!("everything was read"),
        () = serve => {}
    }
}
