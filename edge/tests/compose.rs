//! `compose.yaml` and what it mounts keep the properties that they are there for.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use edge::config::Config;
use serde_json::{Map, Value};
use shared::time::parse_duration;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn services() -> Map<String, Value> {
    let file: Value = serde_saphyr::from_str(&read("compose.yaml")).unwrap();
    let services = file["services"].as_object().unwrap().clone();
    assert!(services.len() >= 5, "{services:?}");
    services
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array()
        .into_iter()
        .flatten()
        .map(|item| item.as_str().unwrap())
        .collect()
}

/// Of `512m` or `1g`.
fn bytes(size: &str) -> u64 {
    let (number, unit) = size.split_at(size.find(|c: char| !c.is_ascii_digit()).unwrap());
    let unit = match unit.chars().next() {
        Some('m') => 1 << 20,
        Some('g') => 1 << 30,
        other => panic!("{other:?}"),
    };
    number.parse::<u64>().unwrap() * unit
}

#[test]
fn every_service_is_bounded_and_has_no_rights_that_it_does_not_need() {
    for (name, service) in services() {
        let image = service["image"].as_str().unwrap();
        let tag = image.rsplit_once(':').map(|(_, tag)| tag);
        assert!(tag.is_some_and(|tag| tag != "latest"), "{name}: {image}");
        bytes(service["mem_limit"].as_str().unwrap());
        assert!(service["pids_limit"].is_u64() || name == "weir", "{name}");
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(texts(&service["cap_drop"]), ["ALL"], "{name}");
        assert_eq!(
            texts(&service["security_opt"]),
            ["no-new-privileges:true"],
            "{name}"
        );
        for right in ["privileged", "cap_add", "network_mode", "pid", "devices"] {
            assert_eq!(service[right], Value::Null, "{name}: {right}");
        }
        let watched = service["healthcheck"]["test"].is_array();
        assert!(watched || name == "weir", "{name} has no health check");
    }
}

#[test]
fn only_the_balancer_is_published_and_only_to_this_machine() {
    for (name, service) in services() {
        for port in texts(&service["ports"]) {
            assert_eq!(name, "balancer", "{port}");
            assert!(port.starts_with("127.0.0.1:"), "{port}");
        }
        let networks = texts(&service["networks"]);
        let reaches_redis = networks.contains(&"back");
        assert_eq!(
            reaches_redis,
            name == "redis" || name.starts_with("edge-"),
            "{name}"
        );
    }
}

#[test]
fn redis_keeps_what_it_has_acknowledged_and_its_limit_holds() {
    let redis = &services()["redis"];
    let command = redis["command"].as_str().unwrap();
    for option in [
        "--appendonly yes",
        "--appendfsync everysec",
        "--maxmemory-policy noeviction",
    ] {
        assert!(command.contains(option), "{command}");
    }
    let (_, rest) = command.split_once("--maxmemory ").unwrap();
    let data = bytes(rest.split_whitespace().next().unwrap());
    assert!(
        data * 2 <= bytes(redis["mem_limit"].as_str().unwrap()),
        "{command}"
    );
    assert_eq!(texts(&redis["volumes"]), ["redis-data:/data"]);
}

#[test]
fn an_edge_has_the_time_and_the_memory_that_its_configuration_takes() {
    let config = Config::from_toml(&read("edge/ops/compose/weir.toml")).unwrap();
    config.validate().unwrap();
    let services = services();
    let edges: Vec<&Value> = services
        .iter()
        .filter(|(name, _)| name.starts_with("edge-"))
        .map(|(_, edge)| edge)
        .collect();
    assert_eq!(edges.len(), 3);
    for edge in edges {
        let grace = parse_duration(edge["stop_grace_period"].as_str().unwrap()).unwrap();
        assert!(grace >= config.drain.deadline + Duration::from_secs(5));
        // What is measured by `memory_limit.rs`.
        let shared = (config.hub.rings_bytes_max + config.hub.history_bytes_max) as u64;
        let connections = config.limits.connections_max as u64;
        assert!(shared + connections * (352 << 10) + (32 << 20) < bytes(edge["mem_limit"].as_str().unwrap()));
        assert!(connections * 2 < edge["ulimits"]["nofile"].as_u64().unwrap());
        assert_eq!(edge["depends_on"]["redis"]["condition"], "service_healthy");
    }
}

#[test]
fn the_balancer_binds_no_client_to_an_edge_and_is_more_patient_than_clients_are_silent() {
    let text = read("edge/ops/compose/haproxy.cfg");
    let lines: Vec<&str> = text
        .lines()
        .map(|line| line.split('#').next().unwrap().trim())
        .collect();
    for sticky in ["stick", "cookie", "balance source", "balance hash", "balance uri"] {
        assert!(!lines.iter().any(|line| line.starts_with(sticky)), "{sticky}");
    }
    assert!(lines.contains(&"balance roundrobin"));
    for edge in ["edge-1", "edge-2", "edge-3"] {
        assert!(lines.contains(&format!("server {edge} {edge}:7400").as_str()));
    }
    let config = Config::default();
    let silence = [
        config.tail.heartbeat,
        config.limits.wait_max,
        config.ws.ping_interval + config.ws.pong_timeout,
        config.socketio.ping_interval + config.socketio.ping_timeout,
    ];
    for timeout in ["client", "server", "tunnel"] {
        let prefix = format!("timeout {timeout} ");
        let line = lines.iter().find_map(|line| line.strip_prefix(&prefix)).unwrap();
        let patience = parse_duration(line).unwrap();
        assert!(silence.iter().all(|silence| patience > *silence), "{timeout}");
    }
}

#[test]
fn the_image_is_built_of_known_versions_and_runs_as_nobody() {
    let text = read("Dockerfile");
    let stages: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("FROM "))
        .collect();
    assert_eq!(stages.len(), 2);
    for image in &stages {
        let image = image.split_whitespace().next().unwrap();
        assert!(
            image.rsplit_once(':').is_some_and(|(_, tag)| tag != "latest"),
            "{image}"
        );
    }
    let rust = format!("rust:{}-", env!("CARGO_PKG_RUST_VERSION"));
    assert!(stages[0].starts_with(&rust), "{} is not {rust}", stages[0]);
    assert!(text.lines().any(|line| line == "USER nonroot"));
    assert!(
        text.lines()
            .any(|line| line.starts_with("HEALTHCHECK ") && line.contains("\"health\""))
    );
}
