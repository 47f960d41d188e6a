//! Publishes that ask for more than the memory of the primary: a primary and a replica that can be stopped.

use std::time::Duration;

use broker::testing::{RedisServer, SentinelGroup};
use broker::{Durability, RedisLog};
use edge::config::Config;
use serde_json::{Value, json};

use crate::client::{get, json as answer_of, post, request, send, within};
use crate::support::TestEdge;

async fn edge_on(url: &str, durability: Durability) -> TestEdge {
    let mut config = Config::default();
    config.set_redis(url).unwrap();
    config.publish.durability = durability;
    config.publish.durability_timeout = Duration::from_millis(200);
    config.validate().unwrap();
    let redis = config.redis_config().unwrap().unwrap();
    TestEdge::start_on(RedisLog::connect(redis).await.unwrap(), config).await
}

/// Says that the event is in the log, but not durable, and where.
#[track_caller]
fn not_durable(answer: &Value) -> String {
    let error = &answer["error"];
    assert_eq!(error["code"], "not_durable", "{answer}");
    assert!(
        error["message"].as_str().unwrap().contains("0 of 1 replicas"),
        "{answer}"
    );
    let cursor = error["cursor"].as_str().unwrap();
    assert!(cursor.starts_with(error["id"].as_str().unwrap()), "{answer}");
    cursor.to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_is_told_what_has_its_event() {
    let group = SentinelGroup::start(1, &[]).await;
    let edge = edge_on(&group.url(), Durability::Primary).await;
    let path = "/v1/streams/doc:1";
    group.replica().pause();
    let (status, _) = post(&edge, path, r#"{"data":0}"#).await;
    assert_eq!(status, 201, "what asks for nothing waits for nothing");
    let body = r#"{"data":1,"key":"k","durability":"replicas:1"}"#;
    let (status, first) = post(&edge, path, body).await;
    assert_eq!(status, 504);
    let cursor = not_durable(&first);
    let by_header = || {
        let request = request(&edge, "POST", path).header("weir-durability", "replicas:1");
        request.header("content-type", "application/json")
    };
    let (status, second) = answer_of(by_header().body(r#"{"data":2}"#)).await;
    assert_eq!(status, 504);
    not_durable(&second);
    // What the body says is more exact.
    let (status, _) = answer_of(by_header().body(r#"{"data":3,"durability":"primary"}"#)).await;
    assert_eq!(status, 201);
    let (_, page) = get(&edge, path).await;
    let data: Vec<&Value> = page["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| &e["data"])
        .collect();
    assert_eq!(json!(data), json!([0, 1, 2, 3]), "all are in the log");

    group.replica().resume();
    group.in_step().await;
    let again = within("the replica", async {
        loop {
            let (status, answer) = post(&edge, path, body).await;
            if status == 201 {
                break answer;
            }
            assert_eq!(not_durable(&answer), cursor);
        }
    })
    .await;
    assert_eq!(again["cursor"], json!(cursor));
    assert_eq!(again["duplicate"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_line_of_an_upload_is_told() {
    let group = SentinelGroup::start(1, &[]).await;
    let edge = edge_on(&group.url(), Durability::Replicas(1)).await;
    let upload = |lines: &str| {
        let request =
            request(&edge, "POST", "/v1/streams/doc:1").header("content-type", "application/x-ndjson");
        request.body(lines.to_owned())
    };
    let answers = async |request| -> Vec<Value> {
        let text = within("the answers", send(request).await.text()).await.unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    group.replica().pause();
    let lines =
        "{\"data\":1}\n{\"data\":2,\"durability\":\"primary\"}\n{\"data\":3,\"durability\":\"none\"}\n";
    let told = answers(upload(lines)).await;
    assert_eq!(told.len(), 3);
    not_durable(&told[0]);
    assert!(told[1]["id"].is_string(), "{}", told[1]);
    assert_eq!(told[2]["error"]["code"], "invalid_parameter");
    let by_header = upload("{\"data\":4}\n").header("weir-durability", "primary");
    let told = answers(by_header).await;
    assert!(told[0]["id"].is_string(), "{}", told[0]);
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused() {
    let edge = TestEdge::start().await;
    let (status, answer) = post(&edge, "/v1/streams/s", r#"{"data":1,"durability":"fsync"}"#).await;
    assert_eq!((status, &answer["error"]["code"]), (502, &json!("refused")));
    assert!(
        answer["error"]["message"].as_str().unwrap().contains("in-memory"),
        "{answer}"
    );
    for (header, body) in [
        ("disk", r#"{"data":1}"#),
        ("primary", r#"{"data":1,"durability":"replicas:0"}"#),
    ] {
        let request = request(&edge, "POST", "/v1/streams/s").header("content-type", "application/json");
        let (status, answer) = answer_of(request.header("weir-durability", header).body(body)).await;
        assert_eq!(
            (status, &answer["error"]["code"]),
            (400, &json!("invalid_parameter"))
        );
        assert!(
            answer["error"]["message"]
                .as_str()
                .unwrap()
                .contains("replicas:N"),
            "{answer}"
        );
    }
    let (_, page) = get(&edge, "/v1/streams/s").await;
    assert_eq!(page["events"], json!([]));
    let server = RedisServer::start().await;
    let edge = edge_on(&server.url(), Durability::Primary).await;
    let (status, answer) = post(&edge, "/v1/streams/s", r#"{"data":1,"durability":"fsync"}"#).await;
    assert_eq!(
        (status, &answer["error"]["code"]),
        (502, &json!("refused")),
        "it keeps no file"
    );
}
