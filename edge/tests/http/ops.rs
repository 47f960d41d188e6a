//! What operators, load balancers and browsers ask.

use std::time::Duration;

use broker::testing::RedisServer;
use broker::{RedisConfig, RedisLog};
use edge::config::Config;
use shared::limits::READY_TIMEOUT;

use crate::client::{code, get, json, publish, request, send};
use crate::flaky::{FlakyLog, away};
use crate::support::TestEdge;

#[tokio::test]
async fn health_and_readiness() {
    let log = FlakyLog::new([]);
    let edge = TestEdge::start_on(log.clone(), Config::default()).await;
    assert_eq!(get(&edge, "/healthz").await.0, 200);
    assert_eq!(get(&edge, "/readyz").await.0, 200);
    log.fail_next([away()]);
    assert_eq!(get(&edge, "/healthz").await.0, 200);
    let response = send(request(&edge, "GET", "/readyz")).await;
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
    let answer: serde_json::Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(code(&answer), "unavailable");
}

/// What `/readyz` says: its status, and the parts that work and those that do not.
async fn parts(edge: &TestEdge) -> (u16, Vec<String>, Vec<String>) {
    let (status, answer) = get(edge, "/readyz").await;
    match status {
        200 => assert_eq!(answer["status"], "ready"),
        _ => assert_eq!((status, code(&answer)), (503, "unavailable")),
    }
    let (mut work, mut away) = (Vec::new(), Vec::new());
    for part in answer["parts"].as_array().unwrap() {
        let name = part["part"].as_str().unwrap().to_owned();
        if part["ok"].as_bool().unwrap() {
            assert!(part.get("why").is_none() && part.get("since").is_none(), "{part}");
            work.push(name);
        } else {
            let since: jiff::Timestamp = part["since"].as_str().unwrap().parse().unwrap();
            assert!(since <= jiff::Timestamp::now(), "{part}");
            assert!(!part["why"].as_str().unwrap().is_empty());
            away.push(name);
        }
    }
    (status, work, away)
}

#[tokio::test]
async fn readiness_says_what_is_away_and_since_when() {
    const PARTS: [&str; 4] = ["appends", "tail", "sessions", "ephemeral"];
    let redis = RedisServer::start().await;
    let log = RedisLog::connect(RedisConfig::new(redis.url())).await.unwrap();
    let edge = TestEdge::start_on(log, Config::default()).await;
    let until = async |status: u16, what: &str| {
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        loop {
            let (found, work, away) = parts(&edge).await;
            let all = if status == 200 { &work } else { &away };
            if *all == PARTS {
                return assert_eq!(found, status);
            }
            assert!(std::time::Instant::now() < deadline, "{what}: {work:?}, {away:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    until(200, "everything works").await;
    redis.kill();
    until(503, "everything is away").await;
    redis.restart().await;
    until(200, "everything works again").await;
}

#[tokio::test]
async fn a_log_that_does_not_answer_is_not_ready() {
    let edge = TestEdge::start_on(FlakyLog::hanging(), Config::default()).await;
    let begun = std::time::Instant::now();
    let (status, answer) = get(&edge, "/readyz").await;
    assert_eq!((status, code(&answer)), (503, "unavailable"));
    assert!(begun.elapsed() >= READY_TIMEOUT);
}

#[tokio::test]
async fn metrics_are_counted_and_explained() {
    let edge = TestEdge::start().await;
    publish(&edge, "a", 1).await;
    get(&edge, "/v1/streams/a").await;
    get(&edge, "/v1/streams/a?nonsense").await;
    get(&edge, "/nowhere/in/particular").await;
    let response = send(request(&edge, "GET", "/metrics")).await;
    assert!(
        response.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/plain")
    );
    let text = response.text().await.unwrap();
    for line in [
        "# HELP weir_connections ",
        "# TYPE weir_connections gauge",
        "# HELP weir_publishes_total ",
        "weir_publishes_total{transport=\"http\",outcome=\"ok\"}",
        "weir_deliveries_total{transport=\"page\"}",
        "weir_requests_total{route=\"/v1/streams/{name}\",method=\"POST\",status=\"201\"}",
        "weir_requests_total{route=\"/v1/streams/{name}\",method=\"GET\",status=\"400\"}",
        "weir_requests_total{route=\"unknown\",method=\"GET\",status=\"404\"}",
        "weir_request_seconds_bucket{route=\"/v1/streams/{name}\",le=\"0.1\"}",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    assert!(
        !text.contains("particular"),
        "the number of unknown paths is not bounded"
    );
    let undescribed: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .filter(|name| !text.contains(&format!("# HELP {name} ")))
        .collect();
    assert!(undescribed.is_empty(), "{undescribed:?}");
}

/// Every name that stands in the sources, whether this test happens to count it or not.
#[test]
fn every_metric_is_explained() {
    fn names_in(folder: &std::path::Path, names: &mut std::collections::BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                names_in(&path, names);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let text: String = text.split_whitespace().collect();
                for call in ["gauge!(\"", "counter!(\"", "histogram!(\""] {
                    let calls = text.split(call).skip(1);
                    names.extend(calls.filter_map(|rest| rest.split('"').next()).map(str::to_owned));
                }
            }
        }
    }
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names = std::collections::BTreeSet::new();
    names_in(&root.join("src"), &mut names);
    names_in(&root.join("../broker/src"), &mut names);
    let metrics = std::fs::read_to_string(root.join("src/metrics/families.rs")).unwrap();
    let metrics: String = metrics.split_whitespace().collect();
    let explained = |name: &&String| metrics.contains(&format!("family(\"{name}\""));
    let missing: Vec<&String> = names.iter().filter(|name| !explained(name)).collect();
    assert!(names.len() > 10 && missing.is_empty(), "{missing:?}");
}

#[tokio::test]
async fn unknown_paths_and_methods_are_json_errors() {
    let edge = TestEdge::start().await;
    for (method, path, status, expected) in [
        ("GET", "/", 404, "not_found"),
        ("GET", "/v1", 404, "not_found"),
        ("GET", "/v1/streams", 404, "not_found"),
        ("GET", "/v1/streams/", 404, "not_found"),
        ("GET", "/v1/streams/a/b", 404, "not_found"),
        ("POST", "/v1/streams/a/b", 404, "not_found"),
        ("DELETE", "/v1/streams/a", 405, "method_not_allowed"),
        ("PATCH", "/v1/streams/a", 405, "method_not_allowed"),
        ("POST", "/v1/tail", 405, "method_not_allowed"),
        ("POST", "/healthz", 405, "method_not_allowed"),
        ("BREW", "/metrics", 405, "method_not_allowed"),
    ] {
        let (found, answer) = json(request(&edge, method, path)).await;
        assert_eq!((found, code(&answer)), (status, expected), "{method} {path}");
    }
    let response = send(request(&edge, "DELETE", "/v1/streams/a")).await;
    assert!(response.headers()["allow"].to_str().unwrap().contains("POST"));
}

#[tokio::test]
async fn pages_of_this_machine_may_use_the_edge_and_others_may_not() {
    let edge = TestEdge::start().await;
    let from = |method: &'static str, origin: &'static str| {
        request(&edge, method, "/v1/streams/a").header("origin", origin)
    };
    let response = send(from("GET", "http://localhost:3000")).await;
    assert_eq!(response.status(), 200);
    assert_eq!(
        response.headers()["access-control-allow-origin"],
        "http://localhost:3000"
    );

    let preflight = from("OPTIONS", "http://localhost:3000")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type,idempotency-key");
    let response = send(preflight).await;
    assert_eq!(response.status(), 200);
    let allowed = response.headers()["access-control-allow-headers"]
        .to_str()
        .unwrap();
    assert!(
        allowed.contains("idempotency-key") && allowed.contains("last-event-id"),
        "{allowed}"
    );
    assert!(
        response.headers()["access-control-allow-methods"]
            .to_str()
            .unwrap()
            .contains("POST")
    );

    let foreign = || from("POST", "https://evil.example").body("{\"data\":1}");
    let response = send(foreign()).await;
    assert!(!response.headers().contains_key("access-control-allow-origin"));
    let (status, answer) = json(foreign()).await;
    assert_eq!((status, code(&answer)), (403, "forbidden_origin"));
    let (_, page) = get(&edge, "/v1/streams/a").await;
    assert_eq!(page["events"].as_array().unwrap().len(), 0);
    // An error can be read by a page that may use the edge.
    let response = send(from("DELETE", "http://localhost:3000")).await;
    assert_eq!(response.status(), 405);
    assert_eq!(
        response.headers()["access-control-allow-origin"],
        "http://localhost:3000"
    );
}

#[tokio::test]
async fn everybody_may_be_let_in() {
    let mut config = Config::default();
    config.cors.allowed_origins = vec!["*".into()];
    let edge = TestEdge::start_with(config).await;
    let response = send(request(&edge, "GET", "/v1/streams/a").header("origin", "https://any.example")).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
}

#[tokio::test]
async fn too_many_requests_are_asked_to_wait() {
    let mut config = Config::default();
    config.rate.requests_per_second = 1;
    config.rate.requests_burst = 2;
    config.rate.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    let edge = TestEdge::start_with(config).await;
    let as_client =
        |address: &'static str| request(&edge, "GET", "/v1/streams/a").header("x-forwarded-for", address);
    assert_eq!(send(as_client("1.1.1.1")).await.status(), 200);
    assert_eq!(send(as_client("1.1.1.1")).await.status(), 200);
    let refused = send(as_client("1.1.1.1")).await;
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(send(as_client("2.2.2.2")).await.status(), 200);
}

#[tokio::test]
async fn names_may_be_bounded_more_tightly() {
    let mut config = Config::default();
    config.limits.name_bytes_max = 5;
    config.limits.wait_max = Duration::ZERO;
    let edge = TestEdge::start_with(config).await;
    assert_eq!(get(&edge, "/v1/streams/abcde").await.0, 200);
    for path in ["/v1/streams/abcdef", "/v1/tail?stream=abcdef"] {
        let (status, answer) = get(&edge, path).await;
        assert_eq!((status, code(&answer)), (400, "invalid_stream"), "{path}");
    }
}
