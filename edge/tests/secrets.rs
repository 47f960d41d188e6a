//! Passwords and secrets stand in no output, whatever happens to a process that has them.

#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
#[path = "cli/weir_process.rs"]
mod weir_process;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Output};

use broker::testing::RedisServer;
use tempfile::TempDir;
use weir_process::weir;

const PASSWORD: &str = "pa55-of-redis";
const SECRET: &str = "s3cret of the cluster";

/// A Redis whose user `weir` has [`PASSWORD`].
async fn redis() -> RedisServer {
    let password = format!(">{PASSWORD}");
    RedisServer::start_with_args(&["--user", "weir", "on", &password, "~*", "&*", "+@all"]).await
}

fn write(folder: &TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[track_caller]
fn tells_nothing(text: &str) {
    for secret in [PASSWORD, SECRET, "pa55%2Dof%2Dredis"] {
        assert!(!text.contains(secret), "{secret} in: {text}");
    }
}

fn ask(address: &str, request: &str) -> String {
    let mut socket = TcpStream::connect(address).unwrap();
    socket
        .write_all(format!("{request}host: x\r\nconnection: close\r\n\r\n").as_bytes())
        .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test]
async fn a_running_edge_tells_nothing_even_when_it_logs_all_and_loses_redis() {
    let redis = redis().await;
    let folder = tempfile::tempdir().unwrap();
    let password = write(&folder, "password", &format!("{PASSWORD}\n"));
    let config = write(
        &folder,
        "weir.toml",
        &format!(
            "[log]\nlevel = \"trace\"\n[redis]\nurl = \"{}?user=weir\"\npassword_file = \"{password}\"\n\
             [cluster]\nsecret = \"{SECRET}\"\n",
            redis.url()
        ),
    );
    let mut edge = weir(["serve", "--listen", "127.0.0.1:0", "--config", &config]);
    let mut said = Vec::new();
    let address = loop {
        said.push(edge.notice().await);
        if let Some((_, address)) = said.last().unwrap().split_once("listening on http://") {
            break address.to_owned();
        }
    };
    let mut answers = String::new();
    for request in [
        "GET /readyz HTTP/1.1\r\n",
        "GET /metrics HTTP/1.1\r\n",
        "GET /v1/streams/a HTTP/1.1\r\n",
        "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\n",
    ] {
        let answer = ask(&address, request);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        answers.push_str(&answer);
    }
    redis.kill();
    while !said.last().unwrap().contains("still has no Redis") {
        said.push(edge.notice().await);
    }
    let answer = ask(&address, "GET /readyz HTTP/1.1\r\n");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    answers.push_str(&answer);
    edge.signal("TERM");
    let ended = edge.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let said = said.join("\n");
    assert!(said.contains("DEBUG"), "{said}");
    for text in [said, answers, ended.stdout, ended.stderr] {
        tells_nothing(&text);
    }
}

#[tokio::test]
async fn a_refused_password_is_not_told() {
    let redis = redis().await;
    let folder = tempfile::tempdir().unwrap();
    let config = write(&folder, "weir.toml", "log.level = \"trace\"\n");
    let url = format!("{}?user=nobody&pass={PASSWORD}", redis.url());
    let ended = weir([
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--redis",
        &url,
        "--config",
        &config,
    ]);
    let ended = ended.ended().await;
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("refuses the user or password"),
        "{}",
        ended.stderr
    );
    tells_nothing(&ended.stderr);
}

#[tokio::test]
async fn clients_do_not_repeat_the_password_of_a_url() {
    for url in [
        format!("http://me:{PASSWORD}@127.0.0.1:1"),
        format!("ftp://me:{PASSWORD}@127.0.0.1:1"),
        format!("http://me:{PASSWORD}@127.0.0.1:port"),
        format!("me:{PASSWORD}@127.0.0.1"),
    ] {
        for arguments in [
            vec!["health", "--url", &url],
            vec!["tail", "a", "--no-follow", "--retry-for", "1ms", "--url", &url],
            vec!["publish", "a", "b", "--retry-for", "1ms", "--url", &url],
        ] {
            let ended = weir(&arguments).ended().await;
            assert!(
                matches!(ended.code, Some(1 | 2)),
                "{arguments:?}: {}",
                ended.stderr
            );
            assert!(ended.stderr.contains("127.0.0.1"), "{}", ended.stderr);
            tells_nothing(&ended.stderr);
        }
    }
}

fn check_config(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weir"))
        .arg("check-config")
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

#[track_caller]
fn silent(output: &Output, status: i32) -> String {
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(status), "{text}");
    tells_nothing(&text);
    text
}

#[test]
fn what_is_in_effect_is_printed_without_its_secrets_wherever_they_come_from() {
    let folder = tempfile::tempdir().unwrap();
    let password = write(&folder, "password", PASSWORD);
    let secret = write(&folder, "secret", SECRET);
    let url = format!("redis://weir:{PASSWORD}@host/1");
    let by_file = write(
        &folder,
        "weir.toml",
        &format!("redis.url = \"{url}\"\ncluster.secret = \"{SECRET}\"\n"),
    );
    for (arguments, environment, shown) in [
        (
            vec!["--config", &by_file],
            vec![],
            "url = \"redis://weir:***@host/1\"",
        ),
        (vec!["--redis", &url], vec![], "url = \"redis://weir:***@host/1\""),
        (
            vec![],
            vec![("WEIR_REDIS", url.as_str())],
            "url = \"redis://weir:***@host/1\"",
        ),
        (
            vec!["--redis", "redis://host"],
            vec![("WEIR_REDIS_PASSWORD", PASSWORD)],
            "password = \"***\"",
        ),
        (
            vec!["--redis", "redis://host"],
            vec![("WEIR_REDIS_PASSWORD_FILE", password.as_str())],
            "password_file = ",
        ),
        (vec![], vec![("WEIR_CLUSTER_SECRET", SECRET)], "secret = \"***\""),
        // The environment beats the file.
        (
            vec!["--config", &by_file],
            vec![("WEIR_CLUSTER_SECRET_FILE", secret.as_str())],
            "secret_file = ",
        ),
    ] {
        let text = silent(&check_config(&arguments, &environment), 0);
        assert!(text.contains(shown), "{text}");
    }
}

#[test]
fn mistakes_about_secrets_do_not_repeat_them() {
    let folder = tempfile::tempdir().unwrap();
    let password = write(&folder, "password", PASSWORD);
    let nothing = write(&folder, "nothing", "  \n");
    let whole = format!("redis://:{PASSWORD}@host");
    for (text, hint) in [
        (format!("redis = \"{whole}\""), "1:9: redis: is a section"),
        (
            format!("redis.url = \"http://:{PASSWORD}@host\""),
            "redis.url: not the URL",
        ),
        (
            format!("redis.url = [\"{whole}\"]"),
            "redis.url: invalid type: sequence",
        ),
        (format!("redis.url = \"{whole}"), "1:"),
        (
            format!("redis.url = \"redis://:{PASSWORD}@host:port\""),
            "redis: the Redis URL",
        ),
        (
            format!("redis.url = \"{whole}\"\nredis.password = \"{PASSWORD}\""),
            "redis.password: redis.url has a password already",
        ),
        (
            format!("redis.password = \"{PASSWORD}\""),
            "redis.password: there is no redis.url",
        ),
        (
            format!("redis.password = \"{PASSWORD}\"\nredis.password_file = \"{password}\""),
            "redis.password and redis.password_file exclude each other",
        ),
        (
            format!("redis.password_file = \"{nothing}\""),
            "redis.password_file: ",
        ),
        (
            format!("redis.password_file = \"{password}.not\""),
            "password.not: No such file",
        ),
        (format!("cluster = \"{SECRET}\""), "cluster: is a section"),
        (
            format!("[[cluster]]\nsecret = \"{SECRET}\""),
            "cluster: is a section",
        ),
        (
            format!("otlp.endpoint = \"http://me:{PASSWORD}@host\""),
            "otlp.endpoint: expected the URL",
        ),
        (
            "cluster.secret = \"s3cret\"".into(),
            "cluster.secret: it is too short",
        ),
    ] {
        let file = write(&folder, "weir.toml", &text);
        let told = silent(&check_config(&["--config", &file], &[]), 2);
        assert!(told.contains(hint), "{text}: {told}");
        assert!(!told.contains("s3cret"), "{told}");
        let ended = Command::new(env!("CARGO_BIN_EXE_weir"))
            .args(["serve", "--config", &file])
            .env_clear()
            .output()
            .unwrap();
        let told = silent(&ended, 2);
        assert!(told.contains(hint), "{text}: {told}");
    }
}

#[test]
fn a_secret_without_quotes_is_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    for number in ["123456789012345678", "1234567890.12345678", "0x75BCD15"] {
        let file = write(&folder, "weir.toml", &format!("redis.password = {number}"));
        let told = silent(&check_config(&["--config", &file], &[]), 2);
        assert!(
            told.contains("redis.password: a secret is written in quotes"),
            "{told}"
        );
        assert!(!told.contains("123456789"), "{told}");
    }
}
