//! The first connection: one clear line when it fails, no secrets in it.

use broker::testing::RedisServer;
use broker::{From, Log, ReadRequest, RedisConfig, RedisLog};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::*;

async fn refused(config: RedisConfig) -> String {
    let error = match in_time("the refusal", RedisLog::connect(config)).await {
        Ok(_) => panic!("connected"),
        Err(error) => error.to_string(),
    };
    assert!(!error.contains('\n') && !error.contains("secret"), "{error}");
    error
}

#[tokio::test]
async fn each_failure_is_one_line() {
    let nobody = tempfile::tempdir().unwrap();
    let path = nobody.path().join("none");
    let error = refused(RedisConfig::new(format!("unix://{}", path.display()))).await;
    assert!(error.contains("none"), "{error}");
    let error = refused(RedisConfig::new("redis://:secret@127.0.0.1:1/0")).await;
    assert!(error.contains("127.0.0.1:1"), "{error}");
    refused(RedisConfig::new("http://127.0.0.1:1")).await;
    let server = RedisServer::start().await;
    let mut command = redis::cmd("CONFIG");
    command.arg("SET").arg("requirepass").arg("open sesame");
    let _: redis::Value = raw(&server, &command).await;
    let error = refused(RedisConfig::new(server.url())).await;
    assert!(error.contains("password"), "{error}");
    let error = refused(RedisConfig::new(format!("{}?pass=secret", server.url()))).await;
    assert!(error.contains("password"), "{error}");
    let template = RedisConfig {
        key_template: "weir".into(),
        ..RedisConfig::new(server.url())
    };
    assert!(refused(template).await.contains("NAME"));
    RedisLog::connect(RedisConfig::new(format!("{}?pass=open%20sesame", server.url())))
        .await
        .map(drop)
        .unwrap();
}

/// A web server, a mail server, and somebody who says nothing at all.
#[tokio::test]
async fn what_is_no_redis_is_one_line_too() {
    let answers = [
        "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n\r\nbad\n",
        "220 mail.example ESMTP\r\n502 unrecognized\r\n",
        "",
    ];
    for answer in answers {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let peer = tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut asked = [0; 1_024];
                let _ = socket.read(&mut asked).await;
                let _ = socket.write_all(answer.as_bytes()).await;
            }
        });
        let error = refused(RedisConfig::new(format!("redis://{address}"))).await;
        assert!(error.contains(&address.to_string()), "{error}");
        assert!(answer.is_empty() || error.contains("no Redis"), "{error}");
        peer.abort();
    }
}

#[tokio::test]
async fn settings_print_without_the_password() {
    let config = RedisConfig::new("redis://:secret@h");
    assert!(!format!("{config:?}").contains("secret"));
}

#[tokio::test]
async fn plain_keys_are_served() {
    let server = RedisServer::start().await;
    run(&server, "XADD logs:api 5-1 level info").await;
    let log = RedisLog::connect(RedisConfig {
        key_template: "logs:NAME".into(),
        ..config(server.url())
    })
    .await
    .unwrap();
    let page = log
        .read(&name("api"), &ReadRequest::forward(From::Start, 5))
        .await
        .unwrap();
    assert_eq!(&page.entries[0].event.data.raw()[..], br#"{"level":"info"}"#);
    assert!(!log.append(&name("api"), keyed(7)).await.unwrap().duplicate);
    assert!(log.append(&name("api"), keyed(7)).await.unwrap().duplicate);
    let keys: Vec<String> = raw(&server, redis::cmd("KEYS").arg("*")).await;
    assert!(keys.contains(&"{logs:api}:k:7".to_owned()), "{keys:?}");
}

#[tokio::test]
async fn over_tcp_with_a_password_and_another_database() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
        .to_string();
    let server = RedisServer::start_with_args(&["--port", &port, "--bind", "127.0.0.1"]).await;
    run(&server, "ACL SETUSER weir on >secret ~* &* +@all").await;
    run(&server, "CONFIG SET requirepass other").await;
    let log = log(format!("redis://weir:secret@127.0.0.1:{port}/3")).await;
    let stream = name("doc:1");
    log.append(&stream, number(0)).await.unwrap();
    assert_eq!(numbers(&log, &stream).await, [0]);
    let error = refused(RedisConfig::new(format!("redis://weir:wrong@127.0.0.1:{port}/3"))).await;
    assert!(error.contains("password"), "{error}");
}
