//! Pages, filters and long polls.

use std::time::{Duration, Instant};

use broker::testing::RedisServer;
use broker::{RedisConfig, RedisLog, Retention, RetentionRules};
use edge::config::Config;
use futures_util::StreamExt as _;
use serde_json::json;
use shared::limits::FILTER_SCAN_ENTRIES_MAX;

use crate::client::{Upload, code, data, get, json as send_json, post, publish, request, send, within};
use crate::support::TestEdge;

#[tokio::test]
async fn an_unknown_stream_is_an_empty_one() {
    let edge = TestEdge::start().await;
    let (status, page) = get(&edge, "/v1/streams/a").await;
    assert_eq!(status, 200);
    let expected = json!({"events": [], "cursor": "0-0.0", "head": "0-0.0", "tail_reached": true, "verdict": {"kind": "continuous"}});
    assert_eq!(page, expected);
}

#[tokio::test]
async fn pages_follow_one_another() {
    let edge = TestEdge::start().await;
    let mut cursors = Vec::new();
    for n in 1..=5 {
        cursors.push(publish(&edge, "a", n).await);
    }
    let (_, page) = get(&edge, "/v1/streams/a?limit=2").await;
    assert_eq!(data(&page), [1, 2]);
    assert_eq!(page["cursor"], *cursors[1]);
    assert_eq!(page["head"], *cursors[4]);
    assert_eq!(page["tail_reached"], false);
    let event = &page["events"][0];
    assert_eq!(event["stream"], "a");
    assert_eq!(event["event"], "message");
    assert_eq!(event["cursor"], *cursors[0]);
    assert_eq!(event["id"].as_str(), cursors[0].split_once('.').map(|(id, _)| id));
    assert!(event["time"].as_str().unwrap().ends_with('Z'));

    let (_, page) = get(&edge, &format!("/v1/streams/a?limit=9&from={}", cursors[1])).await;
    assert_eq!(data(&page), [3, 4, 5]);
    assert_eq!(page["tail_reached"], true);
    assert_eq!(page["verdict"], json!({"kind": "continuous"}));
    // A cursor over several streams, and a bare ID.
    let (_, page) = get(&edge, &format!("/v1/streams/a?from=a~{},z~0-0.0", cursors[3])).await;
    assert_eq!(data(&page), [5]);
    let bare = cursors[3].split_once('.').unwrap().0;
    assert_eq!(
        data(&get(&edge, &format!("/v1/streams/a?from={bare}")).await.1),
        [5]
    );
    // Backward.
    let (_, page) = get(&edge, "/v1/streams/a?reverse&limit=2").await;
    assert_eq!(data(&page), [5, 4]);
    let next = page["cursor"].as_str().unwrap();
    assert_eq!(
        data(&get(&edge, &format!("/v1/streams/a?reverse&from={next}")).await.1),
        [3, 2, 1]
    );
    assert_eq!(data(&get(&edge, "/v1/streams/a?last=2").await.1), [4, 5]);
    assert_eq!(data(&get(&edge, "/v1/streams/a?from=now").await.1).len(), 0);
    assert_eq!(data(&get(&edge, "/v1/streams/a?since=1h").await.1).len(), 5);
}

#[tokio::test]
async fn what_is_gone_is_told() {
    let config = Config {
        retention: RetentionRules {
            rules: Vec::new(),
            default: Retention {
                entries_max: Some(10),
                age_max: None,
                idle_max: None,
            },
        },
        ..Config::default()
    };
    let edge = TestEdge::start_with(config).await;
    let first = publish(&edge, "a", 1).await;
    let mut upload = Upload::start(&edge, "a").await;
    upload
        .write(
            (2..=1000)
                .map(|n| format!("{{\"data\":{n}}}\n"))
                .collect::<String>(),
        )
        .await;
    upload.finish();
    assert_eq!(upload.rest().await.len(), 999);
    let (_, page) = get(&edge, &format!("/v1/streams/a?limit=1000&from={first}")).await;
    let left = data(&page).len() as u64;
    assert_eq!(page["verdict"], json!({"kind": "gap", "lost": 999 - left}));
    assert!(left < 999);
    // A position that this history never had.
    let (_, page) = get(&edge, "/v1/streams/a?from=99999999999999-0.5").await;
    assert_eq!(page["verdict"], json!({"kind": "reset"}));
}

#[tokio::test]
async fn filters_pass_over_the_rest_and_the_cursor_with_them() {
    let edge = TestEdge::start().await;
    let mut upload = Upload::start(&edge, "a").await;
    for n in 0..2500 {
        let name = if n % 500 == 499 { "rare" } else { "common" };
        upload
            .write(format!("{{\"event\":\"{name}\",\"data\":\"n{n}\"}}\n"))
            .await;
    }
    upload.finish();
    let answers = upload.rest().await;
    let cursor_of = |n: usize| answers[n]["cursor"].as_str().unwrap();
    let (_, page) = get(&edge, "/v1/streams/a?event=rare").await;
    assert_eq!(data(&page), ["n499", "n999", "n1499", "n1999", "n2499"]);
    assert_eq!(page["tail_reached"], true);
    let (_, page) = get(&edge, "/v1/streams/a?event=rare&limit=2").await;
    assert_eq!(data(&page), ["n499", "n999"]);
    assert_eq!(page["tail_reached"], false);
    let next = page["cursor"].as_str().unwrap();
    let (_, page) = get(
        &edge,
        &format!("/v1/streams/a?event=rare&event=other&from={next}"),
    )
    .await;
    assert_eq!(data(&page), ["n1499", "n1999", "n2499"]);
    // More would match behind the last one, so the page ends there.
    let (_, page) = get(&edge, "/v1/streams/a?match=%5E%22n1.9%22%24&limit=3").await;
    assert_eq!(data(&page), ["n109", "n119", "n129"]);
    assert_eq!(page["cursor"], cursor_of(129));
    let (_, page) = get(&edge, "/v1/streams/a?event=none").await;
    assert_eq!(data(&page).len(), 0);
    assert_eq!(page["cursor"], cursor_of(2499));
    let (_, page) = get(&edge, "/v1/streams/a?event=rare&reverse&limit=2").await;
    assert_eq!(data(&page), ["n2499", "n1999"]);
    let next = page["cursor"].as_str().unwrap();
    let (_, page) = get(&edge, &format!("/v1/streams/a?event=rare&reverse&from={next}")).await;
    assert_eq!(data(&page), ["n1499", "n999", "n499"]);
}

#[tokio::test]
async fn a_filter_that_finds_nothing_stops_looking_and_goes_on_later() {
    let edge = TestEdge::start().await;
    let mut upload = Upload::start(&edge, "a").await;
    let many = FILTER_SCAN_ENTRIES_MAX + 5_000;
    let feed = async {
        for _ in 0..many / 1000 {
            upload.write("{\"data\":0}\n".repeat(1000)).await;
            for _ in 0..1000 {
                upload.answer().await.unwrap();
            }
        }
    };
    feed.await;
    publish(&edge, "a", 1).await;
    let (_, page) = get(&edge, "/v1/streams/a?match=1").await;
    assert_eq!(data(&page).len(), 0);
    assert_eq!(page["tail_reached"], false);
    let next = page["cursor"].as_str().unwrap();
    let (_, page) = get(&edge, &format!("/v1/streams/a?match=1&from={next}")).await;
    assert_eq!(data(&page), [1]);
    assert_eq!(page["verdict"], json!({"kind": "continuous"}));
}

#[tokio::test]
async fn a_long_poll_brings_the_next_event() {
    let edge = TestEdge::start().await;
    let first = publish(&edge, "a", 1).await;
    // Something is there already.
    assert_eq!(data(&get(&edge, "/v1/streams/a?wait=30s").await.1), [1]);
    let path = format!("/v1/streams/a?wait=30s&event=wanted&from={first}");
    let waiting = tokio::spawn(send_json(request(&edge, "GET", &path)));
    within("the poll to begin", async {
        while edge.state.log.hub().streams() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    publish(&edge, "a", 2).await;
    assert!(!waiting.is_finished());
    post(&edge, "/v1/streams/a", "{\"event\":\"wanted\",\"data\":3}").await;
    let (_, page) = within("the poll", waiting).await.unwrap();
    assert_eq!(data(&page), [3]);
    assert_eq!(page["verdict"], json!({"kind": "continuous"}));
    assert_eq!(page["cursor"], page["head"]);
}

#[tokio::test]
async fn a_long_poll_ends_in_time_and_keeps_its_place() {
    let edge = TestEdge::start().await;
    publish(&edge, "a", 1).await;
    let (_, page) = get(&edge, "/v1/streams/a?from=now&wait=50ms").await;
    assert_eq!(data(&page).len(), 0);
    assert_eq!(page["tail_reached"], true);
    assert_eq!(page["cursor"], page["head"]);
    let next = page["cursor"].as_str().unwrap();
    publish(&edge, "a", 2).await;
    assert_eq!(
        data(&get(&edge, &format!("/v1/streams/a?from={next}&wait=30s")).await.1),
        [2]
    );
}

#[tokio::test]
async fn waits_are_cut_to_the_limit() {
    let mut config = Config::default();
    config.limits.wait_max = Duration::from_millis(50);
    let edge = TestEdge::start_with(config).await;
    let begun = Instant::now();
    let (status, _) = get(&edge, "/v1/streams/a?wait=1h").await;
    assert_eq!(status, 200);
    assert!(begun.elapsed() >= Duration::from_millis(50));
}

#[tokio::test]
async fn a_drain_ends_a_long_poll() {
    let edge = TestEdge::start().await;
    let waiting = tokio::spawn(send_json(request(&edge, "GET", "/v1/streams/a?wait=30s")));
    within("the poll to begin", async {
        while edge.state.log.hub().streams() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    edge.shutdown.cancel();
    let (status, page) = within("the poll", waiting).await.unwrap();
    assert_eq!((status, data(&page).len()), (200, 0));
}

#[tokio::test]
async fn the_form_is_negotiated() {
    let edge = TestEdge::start().await;
    let accepting = |path: &'static str, accept: &'static str| {
        let request = request(&edge, "HEAD", path).header("accept", accept);
        async {
            let response = send(request).await;
            let content_type = response
                .headers()
                .get("content-type")
                .map(|v| v.to_str().unwrap().to_owned());
            (response.status().as_u16(), content_type.unwrap_or_default())
        }
    };
    for (path, accept, status, content_type) in [
        ("/v1/streams/a", "*/*", 200, "application/json"),
        ("/v1/streams/a", "text/event-stream", 200, "text/event-stream"),
        (
            "/v1/streams/a",
            "application/x-ndjson",
            200,
            "application/x-ndjson",
        ),
        ("/v1/streams/a", "image/png", 406, "application/json"),
        ("/v1/tail?stream=a", "*/*", 200, "application/x-ndjson"),
        ("/v1/tail?stream=a", "text/event-stream", 200, "text/event-stream"),
        ("/v1/tail?stream=a", "application/json", 406, "application/json"),
        ("/v1/tail", "*/*", 400, "application/json"),
    ] {
        assert_eq!(
            accepting(path, accept).await,
            (status, content_type.to_owned()),
            "{path} {accept}"
        );
    }
}

#[tokio::test]
async fn parameters_that_mean_nothing_are_refused() {
    let edge = TestEdge::start().await;
    for path in [
        "/v1/streams/a?lmit=5",
        "/v1/streams/a?from=a%20b",
        "/v1/streams/a?from=start&last=1",
    ] {
        let (status, answer) = get(&edge, path).await;
        assert_eq!((status, code(&answer)), (400, "invalid_parameter"), "{path}");
    }
    let tail = request(&edge, "GET", "/v1/streams/a?limit=5").header("accept", "text/event-stream");
    let (status, answer) = send_json(tail).await;
    assert_eq!((status, code(&answer)), (400, "invalid_parameter"));
}

/// What the edge remembers of a stream that is followed is answered while Redis is away, and marked; nothing else is.
#[tokio::test]
async fn recent_events_are_answered_out_of_memory_while_redis_is_away() {
    let redis = RedisServer::start_with_args(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let log = RedisLog::connect(RedisConfig::new(redis.url())).await.unwrap();
    let edge = TestEdge::start_on(log, Config::default()).await;
    let mut cursors = Vec::new();
    for n in 1..=2 {
        cursors.push(publish(&edge, "a", n).await);
    }
    let follow = request(&edge, "GET", "/v1/streams/a?from=now").header("accept", "application/x-ndjson");
    let mut tail = send(follow).await.bytes_stream();
    for n in 3..=6 {
        cursors.push(publish(&edge, "a", n).await);
    }
    let mut followed = Vec::new();
    while !String::from_utf8_lossy(&followed).contains(&cursors[5]) {
        let chunk = within("what was published", tail.next()).await;
        followed.extend_from_slice(&chunk.unwrap().unwrap());
    }
    redis.kill();
    let known = async {
        while get(&edge, "/v1/streams/a?last=1").await.0 != 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within("the outage is known", known).await;

    let third = &cursors[2];
    for (query, expected) in [
        ("last=2".to_owned(), json!([5, 6])),
        (format!("from={third}"), json!([4, 5, 6])),
        (format!("from={third}&limit=1"), json!([4])),
        ("from=now".to_owned(), json!([])),
        ("reverse=true&limit=3".to_owned(), json!([6, 5, 4])),
        ("last=4&match=5".to_owned(), json!([5])),
    ] {
        let response = send(request(&edge, "GET", &format!("/v1/streams/a?{query}"))).await;
        assert_eq!(response.status(), 200, "{query}");
        assert_eq!(response.headers()["weir-degraded"], "true");
        let page: serde_json::Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(json!(data(&page)), expected, "{query}");
        assert_eq!(
            (&page["degraded"], &page["head"]),
            (&json!(true), &json!(cursors[5]))
        );
        assert_eq!(page["verdict"], json!({"kind": "continuous"}));
    }
    // What lies before the ring, or is not in it, or is not followed here, only Redis knows.
    for path in [
        "a?from=start".to_owned(),
        "a?last=5".to_owned(),
        format!("a?from={}", cursors[0]),
        format!("a?from={}", cursors[5].split_once('.').unwrap().0),
        "b".to_owned(),
    ] {
        let response = send(request(&edge, "GET", &format!("/v1/streams/{path}"))).await;
        assert_eq!(response.status(), 503, "{path}");
        assert!(response.headers().contains_key("retry-after"));
        let answer = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(code(&answer), "unavailable", "{path}");
    }

    redis.restart().await;
    let restored = async {
        loop {
            let (status, page) = get(&edge, "/v1/streams/a").await;
            if status == 200 {
                break page;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let page = within("Redis is asked again", restored).await;
    assert_eq!(json!(data(&page)), json!([1, 2, 3, 4, 5, 6]));
    assert!(page.get("degraded").is_none(), "{page}");
}
