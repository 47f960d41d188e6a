//! `weir serve` as a process: what it says, how it fails, how it ends.

#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
#[path = "cli/weir_process.rs"]
mod weir_process;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use broker::testing::RedisServer;
use weir_process::{Weir, weir};

/// The address a running edge announces.
async fn address(edge: &mut Weir) -> String {
    loop {
        let line = edge.notice().await;
        if let Some((_, address)) = line.split_once("listening on http://") {
            return address.trim_end_matches('"').trim().to_owned();
        }
    }
}

fn ask(address: &str, request: &str) -> String {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

#[track_caller]
fn one_line(stderr: &str) {
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("weir: "), "{stderr}");
}

#[tokio::test]
async fn a_mistake_is_one_line_and_status_two() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weir.toml");
    std::fs::write(&file, "[limits]\nevent_bites = 1\n").unwrap();
    let file = file.to_str().unwrap();
    for (args, hint) in [
        (&["serve", "--bogus"][..], "--bogus"),
        (&["serve", "--listen"], "--listen"),
        (&["serve", "--listen", "nonsense"], "listen: \"nonsense\""),
        (&["serve", "--config", "/nowhere/weir.toml"], "/nowhere/weir.toml"),
        (
            &["serve", "--config", file],
            "weir.toml:2:1: limits.event_bites: unknown field `event_bites`",
        ),
        (&["serve", "--redis", "http://:secret@host"], "redis://"),
        (&["swim"], "swim"),
    ] {
        let ended = weir(args).ended().await;
        assert_eq!(ended.code, Some(2), "{args:?}: {}", ended.stderr);
        one_line(&ended.stderr);
        assert!(ended.stderr.contains(hint), "{args:?}: {}", ended.stderr);
        assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
    }
    let help = weir(["serve", "--help"]).ended().await;
    assert_eq!(help.code, Some(0));
    assert!(help.stdout.contains("--redis <URL>"), "{}", help.stdout);
}

#[tokio::test]
async fn what_cannot_be_reached_is_one_line_and_status_one() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let ended = weir([
        "serve",
        "--redis",
        &format!("redis://:secret@{taken}/0"),
        "--listen",
        "127.0.0.1:0",
    ]);
    let ended = ended.ended().await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(
        ended.stderr.lines().last().unwrap().starts_with("weir: "),
        "{}",
        ended.stderr
    );
    assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = weir(["serve", "--listen", &address]).ended().await;
    assert_eq!(ended.code, Some(1));
    one_line(&ended.stderr);
    assert!(
        ended.stderr.contains(&format!("cannot listen on {address}")),
        "{}",
        ended.stderr
    );
}

#[tokio::test]
async fn without_redis_it_says_so_first_and_works() {
    let mut edge = weir(["serve", "--listen", "127.0.0.1:0"]);
    let first = edge.notice().await;
    assert!(
        first.contains("no Redis given") && first.contains("http://127.0.0.1:"),
        "{first}"
    );
    let address = address(&mut edge).await;
    let answer = ask(
        &address,
        "POST /v1/streams/a HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 10\r\n\r\n{\"data\":1}",
    );
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    edge.signal("TERM");
    let ended = edge.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[tokio::test]
async fn health_is_an_exit_status() {
    let redis = RedisServer::start().await;
    let url = redis.url();
    let mut edge = weir(["serve", "--listen", "127.0.0.1:0", "--redis", &url]);
    let address = format!("http://{}", address(&mut edge).await);
    let ask = async |more: &[&str]| {
        let arguments = ["health", "--url", &address]
            .into_iter()
            .chain(more.iter().copied());
        let ended = weir(arguments).ended().await;
        (ended.code, ended.stderr)
    };
    assert_eq!(ask(&[]).await, (Some(0), String::new()));
    assert_eq!(ask(&["--ready"]).await, (Some(0), String::new()));
    redis.kill();
    while !edge.notice().await.contains("the tail lost Redis") {}
    assert_eq!(ask(&[]).await, (Some(0), String::new()));
    let (code, why) = ask(&["--ready"]).await;
    assert_eq!(code, Some(1));
    one_line(&why);
    assert!(why.contains("(503)"), "{why}");
    edge.signal("TERM");
    assert_eq!(edge.ended().await.code, Some(0));
    let (code, why) = ask(&[]).await;
    assert_eq!(code, Some(1));
    one_line(&why);
    assert!(why.contains(&address), "{why}");
}

/// An outage is told when it begins and when it is over, not at every try between.
#[tokio::test]
async fn an_outage_of_redis_is_told_once() {
    let redis = RedisServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weir.toml");
    std::fs::write(&file, "[log]\nlevel = \"info,broker=debug\"\n").unwrap();
    let url = redis.url();
    let args = ["serve", "--listen", "127.0.0.1:0", "--redis", &url, "--config"];
    let mut edge = weir(args.iter().copied().chain(file.to_str()));
    address(&mut edge).await;
    redis.kill();
    let mut said = Vec::new();
    for tries in ["tail still has no Redis", "still no connection for ephemeral"] {
        while said.iter().filter(|line: &&String| line.contains(tries)).count() < 3 {
            said.push(edge.notice().await);
        }
    }
    redis.restart().await;
    while !said
        .last()
        .is_some_and(|line| line.contains("the tail is connected"))
    {
        said.push(edge.notice().await);
    }
    for what in [
        "the tail lost Redis",
        "no connection for appends",
        "no connection for ephemeral",
    ] {
        let warned = |line: &&String| line.contains("WARN") && line.contains(what);
        // Appends have two connections.
        let times = said.iter().filter(warned).count();
        assert!((1..=2).contains(&times), "{what}: {said:#?}");
        assert!(times == 1 || what.contains("appends"), "{what}: {said:#?}");
    }
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    for (first, second) in [("TERM", "INT"), ("INT", "TERM")] {
        let mut edge = weir(["serve", "--listen", "127.0.0.1:0"]);
        let address = address(&mut edge).await;
        // Somebody whose request never ends.
        let mut slow = TcpStream::connect(&address).unwrap();
        slow.write_all(
            b"POST /v1/streams/a HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n",
        )
        .unwrap();
        slow.read_exact(&mut [0; 25]).unwrap();
        edge.signal(first);
        while !edge.notice().await.contains("draining") {}
        edge.signal(second);
        let ended = edge.ended().await;
        assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn flags_beat_the_environment_which_beats_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weir.toml");
    std::fs::write(&file, "listen = \"127.0.0.2:0\"\n[log]\nformat = \"json\"\n").unwrap();
    let run = |flag: Option<&'static str>, environment: Option<&'static str>| {
        let mut args = vec!["serve", "--config", file.to_str().unwrap()];
        args.extend(flag.iter().flat_map(|listen| ["--listen", listen]));
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_weir"));
        command
            .args(args)
            .env_clear()
            .stderr(std::process::Stdio::piped());
        command.env("WEIR_REDIS", "");
        if let Some(listen) = environment {
            command.env("WEIR_LISTEN", listen);
        }
        let mut child = command.spawn().unwrap();
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
        let line = lines
            .find_map(|line| line.ok().filter(|line| line.contains("listening on")))
            .unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        // The format comes from the file: each line is an object.
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        line["message"].as_str().unwrap().to_owned()
    };
    assert!(run(None, None).contains("http://127.0.0.2:"));
    assert!(run(None, Some("")).contains("http://127.0.0.2:"));
    assert!(run(None, Some("127.0.0.3:0")).contains("http://127.0.0.3:"));
    assert!(run(Some("127.0.0.4:0"), Some("127.0.0.3:0")).contains("http://127.0.0.4:"));
}

#[tokio::test]
async fn debug_logs_find_a_publish_by_its_trace() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weir.toml");
    std::fs::write(&file, "[log]\nlevel = \"debug\"\n").unwrap();
    let mut edge = weir([
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--config",
        file.to_str().unwrap(),
    ]);
    let address = address(&mut edge).await;
    ask(
        &address,
        "POST /v1/streams/a HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 10\r\n\
         traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n{\"data\":1}",
    );
    let line = loop {
        let line = edge.notice().await;
        if line.contains("published") {
            break line;
        }
    };
    assert!(line.contains("4bf92f3577b34da6a3ce929d0e0e4736"), "{line}");
    assert!(line.contains("connection{id="), "{line}");
    edge.signal("TERM");
    assert_eq!(edge.ended().await.code, Some(0));
}
