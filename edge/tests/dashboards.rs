//! What dashboard and alerts ask for is what a running edge counts, and every alert has its place in the runbook.

#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
#[path = "cli/weir_process.rs"]
mod weir_process;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use broker::testing::RedisServer;
use regex::Regex;
use serde_json::Value;
use weir_process::weir;

const DASHBOARD: &str = include_str!("../ops/grafana/weir.json");
const ALERTS: &str = include_str!("../ops/prometheus/alerts.yaml");
const RUNBOOK: &str = include_str!("../docs/runbook.md");

/// The labels of one series.
type Labels = BTreeMap<String, String>;
/// Every series of each name.
type Series = BTreeMap<String, Vec<Labels>>;

/// What the metrics of an edge say before and after the least that happens on one.
async fn counted() -> Series {
    let redis = RedisServer::start().await;
    let url = redis.url();
    let mut edge = weir(["serve", "--listen", "127.0.0.1:0", "--redis", &url]);
    let address = loop {
        if let Some((_, address)) = edge.notice().await.split_once("listening on http://") {
            break address.to_owned();
        }
    };
    // A route and a status are counted when there is a request.
    ask(&address, "/v1/streams/a");
    let text = ask(&address, "/metrics");
    edge.signal("TERM");
    assert_eq!(edge.ended().await.code, Some(0));
    let mut series = Series::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some((name, labels)) = series_of(line) {
            series.entry(name).or_default().push(labels);
        }
    }
    series
}

fn ask(address: &str, path: &str) -> String {
    let mut socket = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// Of `name{label="value"} 1`; nothing of any other line.
fn series_of(line: &str) -> Option<(String, Labels)> {
    let (series, value) = line.rsplit_once(' ')?;
    value.parse::<f64>().ok()?;
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let label = Regex::new(r#"(\w+)="([^"]*)""#).unwrap();
    let labels = label
        .captures_iter(labels)
        .map(|found| (found[1].to_owned(), found[2].to_owned()));
    Some((name.to_owned(), labels.collect()))
}

/// The labels that Prometheus adds.
const OF_PROMETHEUS: [&str; 2] = ["job", "instance"];

/// What is wrong with an expression, as far as the series tell.
fn check(expression: &str, series: &Series) -> Vec<String> {
    let mut wrong = Vec::new();
    let selector = Regex::new(r"\b((?:weir|process)_\w+)(?:\{([^}]*)\})?").unwrap();
    let matcher = Regex::new(r#"(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)""#).unwrap();
    let mut labels_of_all = BTreeSet::from(OF_PROMETHEUS.map(str::to_owned));
    for found in selector.captures_iter(expression) {
        let name = &found[1];
        let Some(series) = series.get(name) else {
            wrong.push(format!("{name} is not counted"));
            continue;
        };
        labels_of_all.extend(series.iter().flat_map(|labels| labels.keys().cloned()));
        let matchers = found.get(2).map_or("", |matchers| matchers.as_str());
        for matcher in matcher.captures_iter(matchers) {
            let (label, sign, value) = (&matcher[1], &matcher[2], &matcher[3]);
            // An edge that works answers no request with 5xx.
            if OF_PROMETHEUS.contains(&label) || value == "5.." {
                continue;
            }
            for value in value.split('|').filter(|_| sign != "!=") {
                if !series
                    .iter()
                    .any(|labels| labels.get(label).is_some_and(|v| v == value))
                {
                    wrong.push(format!("{name} is never counted with {label}={value:?}"));
                }
            }
        }
    }
    let grouping = Regex::new(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)").unwrap();
    for found in grouping.captures_iter(expression) {
        for label in found[1].split(',').map(str::trim) {
            if !labels_of_all.contains(label) {
                wrong.push(format!("nothing has the label {label}"));
            }
        }
    }
    wrong
}

/// Title and expression of every query of the dashboard.
fn queries() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        for target in panel["targets"].as_array().into_iter().flatten() {
            queries.push((title.to_owned(), target["expr"].as_str().unwrap().to_owned()));
        }
    }
    queries
}

/// Every alert.
fn alerts() -> Vec<Value> {
    let rules: Value = serde_saphyr::from_str(ALERTS).unwrap();
    let groups = rules["groups"].as_array().unwrap();
    let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
    rules.cloned().collect()
}

#[tokio::test]
async fn dashboard_and_alerts_ask_for_what_is_counted() {
    let series = counted().await;
    let (queries, alerts) = (queries(), alerts());
    assert!(queries.len() > 30 && alerts.len() > 15);
    let of_alerts = alerts.iter().map(|alert| {
        let (name, expression) = (alert["alert"].as_str().unwrap(), alert["expr"].as_str().unwrap());
        (name.to_owned(), expression.to_owned())
    });
    let mut wrong = Vec::new();
    for (place, expression) in queries.into_iter().chain(of_alerts) {
        for problem in check(&expression, &series) {
            wrong.push(format!("{place}: {problem}: {expression}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // A check that finds nothing would find nothing here either.
    for mistake in [
        "rate(weir_publishs_total[5m])",
        "weir_verdicts_total{kind=\"loss\"}",
        "weir_publishes_total{outcome=~\"ok|never\"}",
        "sum by (transports) (weir_subscriptions)",
    ] {
        assert_eq!(check(mistake, &series).len(), 1, "{mistake}");
    }
}

#[tokio::test]
async fn everything_that_is_counted_from_the_start_is_explained() {
    let series = counted().await;
    let families = include_str!("../src/metrics/families.rs");
    for name in series.keys().filter(|name| name.starts_with("weir_")) {
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| name.strip_suffix(end))
            .unwrap_or(name);
        assert!(families.contains(&format!("\"{family}\"")), "{name}");
    }
}

#[test]
fn every_alert_says_how_urgent_it_is_and_stands_in_the_runbook() {
    let sections: BTreeSet<&str> = RUNBOOK
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .collect();
    let mut names = BTreeSet::new();
    let alerts = alerts();
    for alert in &alerts {
        let name = alert["alert"].as_str().unwrap();
        let severity = alert["labels"]["severity"].as_str().unwrap();
        assert!(matches!(severity, "critical" | "warning"), "{name}");
        assert!(alert["annotations"]["summary"].is_string(), "{name}");
        let place = format!("edge/docs/runbook.md#{}", name.to_lowercase());
        assert_eq!(alert["annotations"]["runbook"], place.as_str(), "{name}");
        assert!(names.insert(name), "{name} is there twice");
    }
    assert_eq!(names, sections);
}
