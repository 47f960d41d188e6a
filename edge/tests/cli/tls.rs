//! Edges whose Redis speaks TLS.

use broker::testing::{Certificates, RedisServer, free_port};

use crate::edge_process::Edge;
use crate::real_edge::{input, read_all, same, until_length};
use crate::weir_process::weir;

/// The lines of a configuration file that name these files.
fn tls_files(certificates: &Certificates) -> String {
    let file = |name| certificates.path(name).display().to_string();
    format!(
        "[redis]\ntls_ca_file = {:?}\ntls_cert_file = {:?}\ntls_key_file = {:?}\n",
        file("ca.pem"),
        file("client.pem"),
        file("client.key")
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_what_is_tailed_is_what_was_typed_in() {
    let certificates = Certificates::for_this_machine();
    let port = free_port().to_string();
    let mut arguments = certificates.server_arguments("yes");
    arguments.extend(["--tls-port", &port, "--bind", "127.0.0.1"].map(str::to_owned));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let redis = RedisServer::start_with_args(&arguments).await;
    let url = format!("rediss://127.0.0.1:{port}");
    let mut edge = Edge::start_with(url, &tls_files(&certificates)).await;
    let (lines, text) = input(300);
    let tail = edge.tail(&["--from", "start"]);
    let mut publisher = edge.publish(&[]);
    publisher.type_in(&text).await;
    publisher.close_input();
    until_length(&mut redis.connection().await, 50).await;
    edge.crash().await;
    let ended = publisher.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let (tailed, _) = read_all(tail, lines.len()).await;
    same(&tailed, &lines, "what was tailed");
}

#[tokio::test]
async fn files_for_tls_that_cannot_be_used_are_told_before_anything_starts() {
    let certificates = Certificates::for_this_machine();
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    std::fs::write(path, tls_files(&certificates)).unwrap();
    let flags = ["--config", path, "--redis", "rediss://127.0.0.1:1"];
    let weir = |command| weir([command].iter().chain(&flags).copied());
    assert_eq!(weir("check-config").ended().await.code, Some(0));
    let break_and_put_right: [(&str, &str); 3] = [
        ("ca.pem", "no PEM"),
        (
            "client.pem",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ),
        ("client.key", ""),
    ];
    for (name, garbled) in break_and_put_right {
        let good = std::fs::read(certificates.path(name)).unwrap();
        std::fs::write(certificates.path(name), garbled).unwrap();
        for command in ["check-config", "serve"] {
            let ended = weir(command).ended().await;
            assert_eq!(ended.code, Some(2), "{ended:?}");
            assert_eq!(ended.stderr.trim().lines().count(), 1, "{ended:?}");
            assert!(ended.stderr.contains("TLS cannot be used: "), "{ended:?}");
            assert!(ended.stderr.contains(name), "{ended:?}");
        }
        std::fs::write(certificates.path(name), good).unwrap();
    }
    let ended = weir("serve").ended().await;
    assert_eq!(ended.code, Some(1), "nobody is there: {ended:?}");
}
