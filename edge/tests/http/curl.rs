//! The real `curl`, as the documentation has it.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::client::{data, get, within};
use crate::support::TestEdge;

fn curl(args: &[&str]) -> Child {
    Command::new("curl")
        .args(["--no-progress-meter", "--noproxy", "*"])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .expect("curl is installed")
}

#[tokio::test]
async fn an_upload_with_dash_t_answers_while_it_is_open() {
    for upload in ["-", "."] {
        let edge = TestEdge::start().await;
        let mut curl = curl(&["-N", "-T", upload, &edge.url("/v1/streams/log:app")]);
        let mut input = curl.stdin.take().unwrap();
        let mut output = BufReader::new(curl.stdout.take().unwrap()).lines();
        input.write_all(b"{\"data\":1}\n").await.unwrap();
        within("the first event", async {
            while data(&get(&edge, "/v1/streams/log:app").await.1).is_empty() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        // With `-T -` curl looks for answers only when it has something to send.
        if upload == "." {
            let line = within("the first answer", output.next_line())
                .await
                .unwrap()
                .unwrap();
            assert!(line.starts_with("{\"id\":"), "{line}");
        }
        input.write_all(b"not json\n{\"data\":3}\n").await.unwrap();
        drop(input);
        let mut answers = Vec::new();
        while let Some(line) = within("answers", output.next_line()).await.unwrap() {
            answers.push(serde_json::from_str::<Value>(&line).unwrap());
        }
        assert_eq!(answers.len(), if upload == "." { 2 } else { 3 }, "{answers:?}");
        assert_eq!(answers[answers.len() - 2]["error"]["code"], "invalid_json");
        assert!(within("curl to end", curl.wait()).await.unwrap().success());
        assert_eq!(data(&get(&edge, "/v1/streams/log:app").await.1), [1, 3]);
    }
}

#[tokio::test]
async fn a_file_of_lines_goes_up_with_post() {
    let edge = TestEdge::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lines");
    let lines: String = (0..50_000)
        .map(|n| format!("{{\"event\":\"line\",\"data\":{{\"n\":{n}}}}}\n"))
        .collect();
    std::fs::write(&file, lines).unwrap();
    // Large enough for curl to ask first (Expect: 100-continue).
    let body = format!("@{}", file.display());
    let curl = curl(&[
        "-H",
        "content-type: application/x-ndjson",
        "--data-binary",
        &body,
        &edge.url("/v1/streams/a"),
    ]);
    let output = within("curl", curl.wait_with_output()).await.unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 50_000);
    assert!(text.lines().all(|line| line.starts_with("{\"id\":\"")));
}

#[tokio::test]
async fn one_event_and_a_page() {
    let edge = TestEdge::start().await;
    let url = edge.url("/v1/streams/log:demo");
    let published = curl(&[
        &url,
        "--json",
        "{\"event\":\"greeting\",\"data\":{\"hello\":\"world\"}}",
    ]);
    let output = within("curl", published.wait_with_output()).await.unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(answer["cursor"].as_str().unwrap().ends_with(".1"), "{answer}");
    let output = within("curl", curl(&[&url]).wait_with_output()).await.unwrap();
    let page: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(page["events"][0]["event"], "greeting");
    // What curl -d sends without a content type is refused with what to do.
    let output = within("curl", curl(&[&url, "-d", "{\"data\":1}"]).wait_with_output())
        .await
        .unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["error"]["code"], "unsupported_media_type");
    assert!(answer["error"]["message"].as_str().unwrap().contains("--json"));
}
