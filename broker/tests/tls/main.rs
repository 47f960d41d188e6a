//! TLS to real servers, with certificates that the tests make: who is trusted, who is refused and in what words, and that
//! everything works over it. Needs a `redis-server` that was built with TLS.
#![allow(clippy::unwrap_used)]

// Shared with the tests of the engine on one server.
#[allow(dead_code)]
#[path = "../redis_engine/support.rs"]
mod support;

use std::fs;
use std::sync::Arc;

use broker::testing::{Certificates, RedisServer, SentinelGroup, free_port};
use broker::{
    Delivery, Filter, From, Log, Order, RedisConfig, RedisLog, Subscriber, SubscriberConfig, TailMode,
    TlsFiles,
};

use support::*;

/// A server that speaks TLS on a port, and the port.
async fn server(certificates: &Certificates, auth_clients: &str) -> (RedisServer, u16) {
    let port = free_port();
    let text = port.to_string();
    let mut arguments = certificates.server_arguments(auth_clients);
    arguments.extend(["--tls-port", &text, "--bind", "127.0.0.1"].map(str::to_owned));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    (RedisServer::start_with_args(&arguments).await, port)
}

/// Trusts the CA of these certificates and has none of its own.
fn trusting(certificates: &Certificates) -> TlsFiles {
    TlsFiles {
        ca: Some(certificates.path("ca.pem")),
        ..TlsFiles::default()
    }
}

/// The same with a client's certificate that `own` has signed.
fn with_certificate(certificates: &Certificates, own: &Certificates) -> TlsFiles {
    TlsFiles {
        cert: Some(own.path("client.pem")),
        key: Some(own.path("client.key")),
        ..trusting(certificates)
    }
}

fn settings(url: String, tls: TlsFiles) -> RedisConfig {
    RedisConfig { tls, ..config(url) }
}

/// Connecting fails, and why, in one line.
async fn refused(url: String, tls: TlsFiles) -> String {
    let error = match in_time("the refusal", RedisLog::connect(settings(url, tls))).await {
        Ok(_) => panic!("connected"),
        Err(error) => error.to_string(),
    };
    assert!(!error.contains('\n'), "{error}");
    error
}

/// Publishes the numbers of this range, follows the stream from its start, and has each once and in order.
async fn works(log: &Arc<RedisLog>, stream: &str, count: u64) {
    let stream = name(stream);
    let mut subscriber = subscribed(log, &stream).await;
    for n in 0..count {
        let new = if n % 2 == 0 { keyed(n) } else { number(n) };
        in_time("an append", log.append(&stream, new)).await.unwrap();
    }
    follow(&mut subscriber, 0..count).await;
}

/// A subscriber to a stream from its start.
async fn subscribed(log: &Arc<RedisLog>, stream: &shared::StreamName) -> Subscriber {
    let config = SubscriberConfig {
        order: Order::PerStream,
        streams_max: 1,
        ephemeral: false,
    };
    let mut subscriber = Subscriber::new(log.clone(), config);
    let subscribing = subscriber.subscribe(stream.clone(), From::Start, None, Filter::default());
    in_time("the subscription", subscribing).await.unwrap();
    subscriber
}

/// The next events are these, with nothing lost before them.
async fn follow(subscriber: &mut Subscriber, numbers: std::ops::Range<u64>) {
    let mut expected = numbers;
    in_time("the events", async {
        while !expected.is_empty() {
            let mut out = Vec::new();
            subscriber.next(1_000_000, &mut out).await;
            for delivery in out {
                match delivery {
                    Delivery::Event(entry) => {
                        let text = std::str::from_utf8(entry.event.data.raw()).unwrap();
                        assert_eq!(text.parse().ok(), expected.next());
                    }
                    Delivery::CaughtUp { .. } => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn who_is_trusted_and_who_is_not() {
    let certificates = Certificates::for_this_machine();
    let (_server, port) = server(&certificates, "no").await;
    for host in ["127.0.0.1", "localhost"] {
        let url = format!("rediss://{host}:{port}");
        let log = RedisLog::connect(settings(url, trusting(&certificates)))
            .await
            .unwrap();
        works(&log, host, 20).await;
    }
    let url = format!("rediss://127.0.0.1:{port}");
    let blocking = RedisConfig {
        tail: TailMode::Blocking,
        ..settings(url.clone(), trusting(&certificates))
    };
    works(&RedisLog::connect(blocking).await.unwrap(), "blocking", 20).await;
    // A certificate of ours that nobody asks for does no harm.
    let log = settings(url.clone(), with_certificate(&certificates, &certificates));
    works(&RedisLog::connect(log).await.unwrap(), "unasked", 5).await;

    // One has another name, one the same, as a CA that was made anew.
    for other in [Certificates::by_another_ca(), Certificates::for_this_machine()] {
        let error = refused(url.clone(), trusting(&other)).await;
        assert!(
            error.contains("nobody whom we trust") && error.contains("redis.tls_ca_file"),
            "{error}"
        );
    }
    let error = refused(format!("redis://127.0.0.1:{port}"), TlsFiles::default()).await;
    assert!(error.contains(&port.to_string()), "{error}");
}

#[tokio::test]
async fn a_certificate_for_another_name_or_another_time() {
    let elsewhere = Certificates::for_name("redis.example");
    let (_server, port) = server(&elsewhere, "no").await;
    let error = refused(format!("rediss://127.0.0.1:{port}"), trusting(&elsewhere)).await;
    assert!(
        error.contains("for another name than the one in the URL"),
        "{error}"
    );
    let expired = Certificates::expired();
    let (_server, port) = server(&expired, "no").await;
    let error = refused(format!("rediss://127.0.0.1:{port}"), trusting(&expired)).await;
    assert!(error.contains("has expired"), "{error}");
}

#[tokio::test]
async fn a_server_that_wants_a_certificate() {
    let certificates = Certificates::for_this_machine();
    let (_server, port) = server(&certificates, "yes").await;
    let url = format!("rediss://127.0.0.1:{port}");
    let own = with_certificate(&certificates, &certificates);
    works(
        &RedisLog::connect(settings(url.clone(), own)).await.unwrap(),
        "mutual",
        20,
    )
    .await;
    let error = refused(url.clone(), trusting(&certificates)).await;
    assert!(
        error.contains("wants a certificate from us: redis.tls_cert_file"),
        "{error}"
    );
    for stranger in [Certificates::by_another_ca(), Certificates::for_this_machine()] {
        let error = refused(url.clone(), with_certificate(&certificates, &stranger)).await;
        assert!(
            error.contains("does not trust the certificate in redis.tls_cert_file"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_server_without_tls() {
    let port = free_port();
    let text = port.to_string();
    let _server = RedisServer::start_with_args(&["--port", &text, "--bind", "127.0.0.1"]).await;
    let certificates = Certificates::for_this_machine();
    let error = refused(format!("rediss://127.0.0.1:{port}"), trusting(&certificates)).await;
    assert!(error.contains("TLS there"), "{error}");
}

/// Found before anything is connected to, as `weir check-config` does.
#[test]
fn files_that_cannot_be_used() {
    let certificates = Certificates::for_this_machine();
    let own = || with_certificate(&certificates, &certificates);
    let check = |url: &str, tls: TlsFiles| settings(url.to_owned(), tls).check();
    check("rediss://redis.example", own()).unwrap();
    let pem = |inside| format!("-----BEGIN CERTIFICATE-----\n{inside}\n-----END CERTIFICATE-----\n");
    for (name, text) in [
        ("empty.pem", String::new()),
        ("text.pem", "not PEM\n".into()),
        ("base64.pem", pem("!!!!")),
        ("der.pem", pem("AAAA")),
    ] {
        fs::write(certificates.path(name), text).unwrap();
    }
    let strange_key = Certificates::for_this_machine();
    fs::copy(strange_key.path("client.key"), certificates.path("strange.key")).unwrap();
    // Which setting is wrong, the file that it names, and what the line must name.
    for (setting, file, word) in [
        ("ca", Some("none.pem"), "none.pem"),
        ("ca", Some("empty.pem"), "empty.pem"),
        ("ca", Some("text.pem"), "text.pem"),
        ("ca", Some("base64.pem"), "base64.pem"),
        ("ca", Some("der.pem"), "der.pem"),
        ("cert", Some("none.pem"), "none.pem"),
        ("cert", Some("client.key"), "client.key"),
        ("cert", None, "go together"),
        ("key", Some("none.key"), "none.key"),
        ("key", Some("client.pem"), "client.pem"),
        ("key", Some("strange.key"), "client.pem"),
        ("key", None, "go together"),
    ] {
        let file = file.map(|name| certificates.path(name));
        let tls = match setting {
            "ca" => TlsFiles { ca: file, ..own() },
            "cert" => TlsFiles { cert: file, ..own() },
            _ => TlsFiles { key: file, ..own() },
        };
        let error = check("rediss://redis.example", tls).unwrap_err().to_string();
        assert!(
            error.starts_with("TLS cannot be used: "),
            "{setting} {word}: {error}"
        );
        assert!(
            error.contains(word) && !error.contains('\n'),
            "{setting} {word}: {error}"
        );
    }
    let error = check("redis://redis.example", own()).unwrap_err().to_string();
    assert!(error.contains("must begin with rediss"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_are_made_again() {
    let certificates = Certificates::for_this_machine();
    let (server, port) = server(&certificates, "yes").await;
    let url = format!("rediss://127.0.0.1:{port}");
    let own = with_certificate(&certificates, &certificates);
    let log = RedisLog::connect(settings(url, own)).await.unwrap();
    let stream = name("doc:1");
    let mut subscriber = subscribed(&log, &stream).await;
    for round in 0..4 {
        for n in round * 25..(round + 1) * 25 {
            until("an append", async || log.append(&stream, keyed(n)).await.is_ok()).await;
        }
        follow(&mut subscriber, round * 25..(round + 1) * 25).await;
        // Its own connection is over the Unix socket, and goes too; the answer is of no interest.
        let mut connection = server.connection().await;
        let mut kill = redis::cmd("CLIENT");
        kill.arg("KILL")
            .arg("TYPE")
            .arg("normal")
            .arg("SKIPME")
            .arg("yes");
        let killed: u64 = kill.query_async(&mut connection).await.unwrap();
        assert!(killed > 0, "somebody was connected");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_and_their_servers() {
    let certificates = Certificates::for_this_machine();
    let mut group = SentinelGroup::start_with_tls(3, &certificates).await;
    assert!(group.url().starts_with("rediss-sentinel://"));
    let error = refused(group.url(), trusting(&certificates)).await;
    assert!(error.contains("Sentinel"), "{error}");
    let own = with_certificate(&certificates, &certificates);
    let log = RedisLog::connect(settings(group.url(), own)).await.unwrap();
    works(&log, "before", 20).await;
    group.in_step().await;
    group.fail_over_at_once().await;
    until("the new primary", async || log.check().await.is_ok()).await;
    holds_all(&log, &name("before"), 20).await;
    until("the tail", async || log.check().await.is_ok()).await;
    works(&log, "after", 20).await;
}
