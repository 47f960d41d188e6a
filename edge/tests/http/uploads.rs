//! Uploads of lines: each is appended as it arrives and answered in its place.

use std::time::Duration;

use edge::config::Config;
use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use crate::client::{Raw, Upload, code, data, get, json, request, within};
use crate::support::TestEdge;

#[tokio::test]
async fn answers_come_while_the_body_is_open() {
    let edge = TestEdge::start().await;
    let mut upload = Upload::start(&edge, "a").await;
    for n in 1..=3 {
        upload.write(format!("{{\"data\":{n}}}\n")).await;
        let answer = upload.answer().await.unwrap();
        assert_eq!(
            answer["cursor"].as_str().unwrap().split_once('.').unwrap().1,
            n.to_string()
        );
        assert_eq!(data(&get(&edge, "/v1/streams/a").await.1).len(), n);
    }
    // A line in two pieces, and a last one without a line break.
    upload.write("{\"event\":\"cut\",").await;
    upload.write("\"data\":4}\n{\"data\":5}").await;
    assert!(upload.answer().await.unwrap()["id"].is_string());
    upload.finish();
    assert_eq!(upload.rest().await.len(), 1);
    assert_eq!(data(&get(&edge, "/v1/streams/a").await.1), [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn every_line_is_answered_in_its_place() {
    let edge = TestEdge::start().await;
    let mut upload = Upload::start(&edge, "a").await;
    upload
        .write("\n{\"data\":1,\"key\":\"k\"}\r\nnonsense\n   \n{\"data\":1,\"key\":\"k\"}\n")
        .await;
    upload.write(&b"{\"data\":\"\xff\"}\n{\"data\":2}\n"[..]).await;
    upload.finish();
    let answers = upload.rest().await;
    assert_eq!(answers.len(), 5, "{answers:?}");
    assert!(answers[0]["duplicate"].is_null());
    assert_eq!(code(&answers[1]), "invalid_json");
    assert_eq!(answers[2]["duplicate"], true);
    assert_eq!(answers[2]["cursor"], answers[0]["cursor"]);
    assert_eq!(code(&answers[3]), "invalid_json");
    assert!(answers[4]["id"].is_string());
    assert_eq!(data(&get(&edge, "/v1/streams/a").await.1), [1, 2]);
}

#[tokio::test]
async fn long_lines_are_passed_over_and_the_next_ones_go_on() {
    let mut config = Config::default();
    config.limits.event_bytes_max = 1024;
    let edge = TestEdge::start_with(config).await;
    let mut upload = Upload::start(&edge, "a").await;
    upload.write("{\"data\":1}\n{\"data\":\"").await;
    for _ in 0..100 {
        upload.write("x".repeat(50_000)).await;
    }
    upload.write("\"}\n{\"data\":2}\n").await;
    // Within the line's limit, beyond the event's: the log refuses it.
    upload
        .write(format!("{{\"data\":\"{}\"}}\n{{\"data\":3}}\n", "x".repeat(2000)))
        .await;
    upload.finish();
    let answers = upload.rest().await;
    assert_eq!(answers.len(), 5, "{answers:?}");
    assert_eq!(code(&answers[1]), "too_large");
    assert_eq!(code(&answers[3]), "too_large");
    assert_eq!(data(&get(&edge, "/v1/streams/a").await.1), [1, 2, 3]);
}

#[tokio::test]
async fn many_lines_keep_their_order() {
    const LINES: usize = 20_000;
    let edge = TestEdge::start().await;
    let body: String = (0..LINES).map(|n| format!("{{\"data\":{n}}}\n")).collect();
    let request = request(&edge, "POST", "/v1/streams/a").header("content-type", "application/x-ndjson");
    let text = within("all answers", async {
        request.body(body).send().await.unwrap().text().await.unwrap()
    });
    let text = text.await;
    let ordinals: Vec<usize> = text
        .lines()
        .map(|line| {
            let answer: Value = serde_json::from_str(line).unwrap();
            answer["cursor"]
                .as_str()
                .unwrap()
                .split_once('.')
                .unwrap()
                .1
                .parse()
                .unwrap()
        })
        .collect();
    assert!(
        ordinals.iter().copied().eq(1..=LINES),
        "{} answers",
        ordinals.len()
    );
    let (_, page) = get(&edge, "/v1/streams/a?last=3").await;
    assert_eq!(data(&page), [LINES - 3, LINES - 2, LINES - 1]);
}

#[tokio::test]
async fn a_line_that_is_cut_off_is_not_published() {
    let edge = TestEdge::start().await;
    // What runs in any case does by now.
    get(&edge, "/v1/streams/a").await;
    let without = edge.state.tasks.len();
    let mut upload = Upload::start(&edge, "a").await;
    upload.write("{\"data\":1}\n{\"data\":2}").await;
    assert!(upload.answer().await.is_some());
    upload.cut().await;
    within("the end of the upload", async {
        while edge.state.tasks.len() > without {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(data(&get(&edge, "/v1/streams/a").await.1), [1]);
}

#[tokio::test]
async fn a_client_that_takes_no_answers_slows_itself_down() {
    let edge = TestEdge::start().await;
    let mut raw = Raw::connect(&edge).await;
    let head = "POST /v1/streams/a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\
        content-type: application/x-ndjson\r\n\r\n";
    raw.write(head.as_bytes()).await;
    let lines = "{\"data\":1}\n".repeat(5000);
    let chunk = format!("{:x}\r\n{lines}\r\n", lines.len());
    // Answers are several times as long as these lines, and nobody reads them: the edge must stop reading.
    let mut sent = 0;
    while timeout(Duration::from_millis(500), raw.0.writable())
        .await
        .is_ok()
    {
        // Where the socket took only a part of a chunk, the next one goes on behind it.
        if let Ok(count) = raw.0.try_write(&chunk.as_bytes()[sent % chunk.len()..]) {
            sent += count;
        }
        assert!(
            sent < 500_000_000,
            "500 MB were taken without an answer being read"
        );
    }
    // Once answers are read it goes on.
    let mut answers = vec![0; 1 << 16];
    let (mut input, output) = raw.0.split();
    within("room for more", async {
        loop {
            tokio::select! {
                writable = output.writable() => return writable.unwrap(),
                read = input.read(&mut answers) => assert_ne!(read.unwrap(), 0),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn an_upload_is_slowed_down_to_its_rate() {
    let mut config = Config::default();
    config.rate.publishes_per_second = 50;
    config.rate.publishes_burst = 1;
    let edge = TestEdge::start_with(config).await;
    let begun = std::time::Instant::now();
    let mut upload = Upload::start(&edge, "a").await;
    upload.write("{\"data\":1}\n".repeat(11)).await;
    upload.finish();
    assert_eq!(upload.rest().await.len(), 11);
    // Ten of them had to wait for a fiftieth of a second each.
    assert!(
        begun.elapsed() >= Duration::from_millis(190),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn one_key_cannot_name_many_lines() {
    let edge = TestEdge::start().await;
    let request = request(&edge, "POST", "/v1/streams/a").header("content-type", "application/x-ndjson");
    let (status, answer) = json(request.header("idempotency-key", "k").body("{\"data\":1}\n")).await;
    assert_eq!((status, code(&answer)), (400, "invalid_key"));
}

#[tokio::test]
async fn a_client_that_waits_to_be_told_is_told_to_go_on() {
    let edge = TestEdge::start().await;
    let mut raw = Raw::connect(&edge).await;
    let head =
        "PUT /v1/streams/a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\nexpect: 100-continue\r\n\r\n";
    raw.write(head.as_bytes()).await;
    raw.read_until("HTTP/1.1 100 Continue\r\n\r\n").await;
    raw.write(b"b\r\n{\"data\":1}\n\r\n").await;
    raw.read_until("\"cursor\"").await;
    raw.write(b"0\r\n\r\n").await;
    raw.read_until("0\r\n\r\n").await;
}
