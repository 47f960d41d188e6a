//! The configuration: its reference is true, its values are checked, and a mistake is told in one line.

#![allow(clippy::unwrap_used)]

use edge::config::Config;
use shared::StreamName;

const REFERENCE: &str = include_str!("../docs/configuration.md");

#[test]
fn the_example_of_the_reference_loads() {
    let (_, rest) = REFERENCE.split_once("```toml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let mut config = Config::from_toml(example).unwrap();
    // The file of the secret is not on this machine.
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "sixteen bytes...\n").unwrap();
    config.cluster.secret_file = Some(file.path().to_path_buf());
    config.validate().unwrap();
    let secret = config.cluster.read_secret().unwrap().unwrap();
    assert_eq!(secret.expose(), "sixteen bytes...");
    assert_eq!(config.socketio.namespaces.len(), 2);
    assert!(config.socketio.namespaces[0].recovery && !config.socketio.namespaces[1].recovery);
    assert_eq!(config.socketio.routes[0].event, "join_document");
    assert_eq!(config.limits.event_bytes_max, 256 * 1024);
    let of = |name: &str| config.retention.of(&name.parse::<StreamName>().unwrap()).clone();
    assert_eq!(of("user:1").entries_max, Some(50_000));
    assert_eq!(of("log:api").entries_max, Some(1_000_000));
    assert_eq!(of("log:api").idle_max, config.retention.default.idle_max);
    assert_eq!(of("doc:1").entries_max, Some(50_000));
    assert_eq!(of("doc:1").age_max, None);
    assert!(!format!("{config:?}").contains(":secret@"), "{config:?}");
}

#[test]
fn the_default_is_valid() {
    Config::default().validate().unwrap();
}

/// What `weir check-config` prints is a file that means the same.
#[test]
fn what_is_shown_is_read_as_the_same() {
    let (_, rest) = REFERENCE.split_once("```toml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let route = "[[socketio.routes]]\nevent = \"connect\"\naction = \"subscribe\"\nstreams = [\"a\", \"b:{auth.x}\"]\n\
                 announce = { event = \"here\", ephemeral = true }\n[tail]\nheartbeat = \"1s500ms\"\n\
                 [redis]\ntail = \"blocking\"\n[retention]\nentries = \"none\"\n[memory]\nbytes = 1048577\n";
    for text in ["", example, route] {
        let config = Config::from_toml(text).unwrap();
        let shown = toml::to_string(&config).unwrap();
        let read = Config::from_toml(&shown).unwrap_or_else(|e| panic!("{e}: {shown}"));
        assert_eq!(format!("{read:?}"), format!("{config:?}"), "{shown}");
    }
}

#[test]
fn each_mistake_is_told() {
    let errors = Config::from_toml(
        "listem = \"a\"\n[limits]\nevent_bytes = \"1 parsec\"\nwait = 5\nconnections = 1\n[tail]\nbeat = 1\n",
    )
    .unwrap_err();
    let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(told[0].starts_with("1:1: listem: unknown field"), "{told:?}");
    assert!(told[1].starts_with("3:15: limits.event_bytes: "), "{told:?}");
    assert!(told[2].starts_with("4:8: limits.wait: "), "{told:?}");
    assert!(told[3].starts_with("7:1: tail.beat: unknown field"), "{told:?}");
    assert!(
        errors
            .to_string()
            .ends_with("(and 3 more: `weir check-config` tells them all)")
    );

    let config =
        Config::from_toml("listen = \"x\"\n[limits]\nevent_bytes = 0\n[log]\nlevel = \"edge=loud\"\n")
            .unwrap();
    let errors = config.validate().unwrap_err();
    let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    for option in ["listen: ", "limits.event_bytes: ", "log.level: "] {
        assert!(told.iter().any(|line| line.starts_with(option)), "{told:?}");
    }
}

#[track_caller]
fn refused(toml: &str, hint: &str) {
    let error = match Config::from_toml(toml) {
        Ok(config) => config.validate().expect_err(toml).to_string(),
        Err(error) => error.to_string(),
    };
    assert!(error.contains(hint), "{toml}: {error}");
    assert!(!error.contains('\n'), "{error}");
}

#[test]
fn mistakes_are_told_in_one_line_that_names_the_place() {
    refused(
        "[limits]\nevent_byte = 1",
        "2:1: limits.event_byte: unknown field `event_byte`",
    );
    refused("a = 1", "unknown field `a`");
    refused("[limits]\nevent_bytes = \"1 parsec\"", "2:15:");
    refused("limits.event_bytes = \"1 parsec\"", "not a size");
    refused("limits.event_bytes = -1", "negative");
    refused("limits.event_bytes = 0", "limits.event_bytes: 0 is out of range");
    refused("limits.event_bytes = \"1GiB\"", "limits.event_bytes");
    refused("tail.heartbeat = \"soon\"", "not a duration");
    refused("tail.heartbeat = 15", "expected a string");
    refused(
        "tail.heartbeat = \"0s\"",
        "tail.heartbeat: 0s is out of range, expected 100ms to 1day",
    );
    refused("limits.connections = 0", "limits.connections");
    refused(
        "publish.outage_wait = \"31s\"",
        "publish.outage_wait: 31s is out of range, expected 0s to 30s",
    );
    refused("limits.name_bytes = 201", "limits.name_bytes");
    refused("listen = \"7400\"", "listen");
    refused("listen = \"127.0.0.1:99999\"", "listen");
    refused("redis.url = \"localhost:6379\"", "expected redis://");
    refused("redis.key_template = \"weir\"", "key_template");
    refused("redis.tail = \"magic\"", "unknown variant");
    refused("retention.entries = \"many\"", "none");
    refused("[[retention.rules]]\nentries = 1", "pattern");
    refused("[[retention.rules]]\npattern = \"ä\"", "letters");
    refused(
        "cors.allowed_origins = [\"app.example\"]",
        "cors.allowed_origins: \"app.example\"",
    );
    refused("rate.trusted_proxies = [\"lb\"]", "IP");
    refused("listen = ", "1:");
}

#[test]
fn mistakes_about_other_edges_and_clients_are_told_too() {
    refused("socketio.path = \"socket.io\"", "socketio.path: \"socket.io\"");
    refused("socketio.path = \"/v1/\"", "socketio.path");
    refused("socketio.ping_interval = \"0s\"", "socketio.ping_interval");
    refused("socketio.max_payload = 1", "socketio.max_payload");
    refused("socketio.session_ttl = \"1ms\"", "socketio.session_ttl");
    refused("socketio.namespaces = []", "socketio.namespaces");
    refused(
        "socketio.namespaces = [{name = \"/\", recover = true}]",
        "unknown field `recover`",
    );
    refused(
        "[[socketio.routes]]\nevent = \"e\"\naction = \"publish\"\nstream = \"doc:{x}\"",
        "socketio.routes: {x} is no placeholder",
    );
    refused(
        "[[socketio.routes]]\nevent = \"e\"\naction = \"publish\"\nstream = \"a b\"",
        "socketio.routes: \"e\" in /: stream \"a b\"",
    );
    refused(
        "[[socketio.routes]]\nevent = \"e\"\naction = \"shout\"",
        "unknown variant `shout`",
    );
    refused(
        "otlp.endpoint = \"collector:4318\"",
        "otlp.endpoint: expected the URL",
    );
    refused("otlp.protocol = \"grpc\"", "otlp.protocol: unknown variant");
    #[cfg(not(feature = "otlp"))]
    refused("otlp.endpoint = \"http://collector:4318\"", "without OTLP");
    refused("cluster.advertise = \"7400\"", "cluster.advertise");
    refused("cluster.advertise = \"http://a:1\"", "cluster.advertise");
    refused("cluster.advertise = \"[::1:7400\"", "cluster.advertise");
    refused(
        "cluster.secret = \"short\"",
        "cluster.secret: it is too short, expected 16",
    );
    refused("cluster.secret_file = \"/nowhere/at/all\"", "/nowhere/at/all");
    refused(
        "cluster.secret = \"sixteen bytes...\"\ncluster.secret_file = \"x\"",
        "exclude each other",
    );
}

#[test]
fn a_secret_is_not_repeated() {
    let config = Config::from_toml("cluster.secret = \"only the edges know\"").unwrap();
    assert!(!format!("{config:?}").contains("only"), "{config:?}");
    let short = Config::from_toml("cluster.secret = \"ssh\"").unwrap();
    let error = short.validate().unwrap_err();
    assert!(!error.to_string().contains("ssh"), "{error}");
}

#[test]
fn a_refused_url_is_not_repeated() {
    let error = Config::default().set_redis("http://:secret@host").unwrap_err();
    assert!(!error.to_string().contains("secret"), "{error}");
    let error = Config::from_toml("redis.url = \"http://:secret@host\"").unwrap_err();
    assert!(!error.to_string().contains("secret"), "{error}");
}
