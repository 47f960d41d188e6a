//! Sessions that poll.

use std::time::Duration;

use edge::engineio::{Ended, Settings};

use crate::client::{Poller, answer, bad, http, ok, soon, unknown};
use crate::lab::Server;
use crate::raw::Raw;

#[tokio::test]
async fn messages_go_both_ways_in_order() {
    let server = Server::start().await;
    let client = Poller::open(server.address).await;
    let waiting = tokio::spawn({
        let (client, address) = (client.clone(), server.address);
        async move { client.get(address).await }
    });
    assert_eq!(
        client.post(server.address, "4äöü\u{1e}bAQIDBA==\u{1e}4").await,
        ok("ok")
    );
    let (_, mut body) = waiting.await.unwrap();
    // The echo may need two answers, if the first was under way early.
    while body.split('\u{1e}').count() < 3 {
        body = format!("{body}\u{1e}{}", client.get(server.address).await.1);
    }
    assert_eq!(body, "4äöü\u{1e}bAQIDBA==\u{1e}4");
    assert_eq!(client.post(server.address, "1").await, ok("ok"));
    assert_eq!(server.lab.ended(1).await, [Ended::Client]);
}

#[tokio::test]
async fn an_answer_is_no_larger_than_clients_are_told() {
    let server = Server::start_set(Settings {
        max_payload: 1_000,
        ..Settings::default()
    })
    .await;
    let client = Poller::open(server.address).await;
    let message = format!("4{}", "x".repeat(299));
    let body = [message.as_str(); 3].join("\u{1e}");
    for _ in 0..2 {
        assert_eq!(client.post(server.address, body.clone()).await, ok("ok"));
    }
    for _ in 0..2 {
        assert_eq!(client.get(server.address).await, ok(&body));
    }
    // Nor is a request.
    let large = format!("4{}", "x".repeat(1_000));
    assert_eq!(client.post(server.address, large.clone()).await.0, 413);
    let stream = reqwest::Body::wrap_stream(futures_util::stream::iter([Ok::<_, std::io::Error>(large)]));
    assert_eq!(client.post(server.address, stream).await.0, 413);
    assert_eq!(client.post(server.address, "4x").await, ok("ok"));
}

#[tokio::test]
async fn two_gets_at_once_end_the_session() {
    let server = Server::start().await;
    let client = Poller::open(server.address).await;
    let get = || {
        let (client, address) = (client.clone(), server.address);
        tokio::spawn(async move { client.get(address).await })
    };
    let (one, other) = (get(), get());
    let mut answers = [one.await.unwrap(), other.await.unwrap()];
    answers.sort();
    assert_eq!(answers, [ok("1"), bad()]);
    assert_eq!(client.get(server.address).await, unknown());
    assert_eq!(server.lab.ended(1).await, [Ended::Broken]);
}

#[tokio::test]
async fn two_posts_at_once_end_the_session() {
    let server = Server::start().await;
    let client = Poller::open(server.address).await;
    // One that does not end.
    let mut raw = Raw::connect(server.address).await;
    let path = format!("/engine.io/?EIO=4&transport=polling&sid={}", client.sid);
    raw.write(format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n4"
    ))
    .await;
    soon("the end of the session", async {
        while server.lab.ended_so_far() == 0 {
            // The first that comes behind it ends the session; those that came before it are fine.
            client.post(server.address, "4x").await;
        }
    })
    .await;
    assert_eq!(server.lab.ended(1).await, [Ended::Broken]);
    assert_eq!(client.post(server.address, "4x").await, unknown());
}

#[tokio::test]
async fn a_post_that_breaks_off_ends_the_session() {
    let server = Server::start().await;
    let client = Poller::open(server.address).await;
    let mut raw = Raw::connect(server.address).await;
    let path = format!("/engine.io/?EIO=4&transport=polling&sid={}", client.sid);
    raw.write(format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n4"
    ))
    .await;
    // It has been taken up when another one is too much; here it is enough that the head was read.
    soon("the end of the session", async {
        drop(raw);
        server.lab.ended(1).await
    })
    .await;
    assert_eq!(client.get(server.address).await, unknown());
}

#[tokio::test]
async fn a_post_that_takes_too_long_ends_the_session() {
    let server = Server::start_set(Settings {
        body_timeout: Duration::from_millis(200),
        ..Settings::default()
    })
    .await;
    let client = Poller::open(server.address).await;
    let mut raw = Raw::connect(server.address).await;
    let path = format!("/engine.io/?EIO=4&transport=polling&sid={}", client.sid);
    raw.write(format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n4"
    ))
    .await;
    assert_eq!(server.lab.ended(1).await, [Ended::Lost]);
    assert!(raw.answer().await.0.starts_with("HTTP/1.1 400 "));
}

#[tokio::test]
async fn what_is_no_payload_ends_the_session() {
    let server = Server::start().await;
    let bodies: [&[u8]; 7] = [b"", b"abc", b"4x\x1e", b"2", b"4\xff", b"b*", b"4x\x1e9"];
    for (count, body) in bodies.into_iter().enumerate() {
        let client = Poller::open(server.address).await;
        let waiting = tokio::spawn({
            let (client, address) = (client.clone(), server.address);
            async move { client.get(address).await }
        });
        assert_eq!(
            client.post(server.address, body.to_vec()).await,
            bad(),
            "{body:?}"
        );
        assert_eq!(server.lab.ended(count + 1).await[count], Ended::Broken);
        // The GET was answered with the end, or with an echo from before it, or came too late.
        let waited = waiting.await.unwrap();
        assert!([ok("1"), ok("4x"), unknown()].contains(&waited), "{waited:?}");
    }
    let client = Poller::open(server.address).await;
    let binary = http()
        .post(client.url(server.address))
        .header("content-type", "application/octet-stream")
        .body("4x");
    assert_eq!(answer(binary).await, bad());
    assert_eq!(client.get(server.address).await, unknown());
}

#[tokio::test]
async fn a_client_that_says_goodbye_gets_its_last_get_answered() {
    let server = Server::start().await;
    for round in 0..20 {
        let client = Poller::open(server.address).await;
        let get = || {
            let (client, address) = (client.clone(), server.address);
            async move { client.get(address).await }
        };
        // They race on two connections, and either may be first.
        let (posted, got) = match round % 2 {
            0 => tokio::join!(client.post(server.address, "1"), get()),
            _ => {
                let (got, posted) = tokio::join!(get(), client.post(server.address, "1"));
                (posted, got)
            }
        };
        assert_eq!((posted, got), (ok("ok"), ok("6")));
        assert_eq!(client.get(server.address).await, unknown());
    }
}

#[tokio::test]
async fn a_client_is_not_taken_from_while_the_protocol_wants_nothing() {
    let server = Server::start_set(Settings {
        ping_interval: Duration::from_millis(100),
        ping_timeout: Duration::from_millis(300),
        ..Settings::default()
    })
    .await;
    let client = Poller::open(server.address).await;
    server.lab.set_deaf(true);
    let post = tokio::spawn({
        let (client, address) = (client.clone(), server.address);
        async move { client.post(address, "4one\u{1e}4two").await }
    });
    // Its ping comes; the answer cannot be heard, and so is not missed.
    assert_eq!(client.get(server.address).await, ok("2"));
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert_eq!((server.lab.ended_so_far(), post.is_finished()), (0, false));
    server.lab.set_deaf(false);
    assert_eq!(post.await.unwrap(), ok("ok"));
    assert_eq!(client.post(server.address, "3").await, ok("ok"));
    let (status, body) = client.get(server.address).await;
    assert_eq!(status, 200);
    assert!(body.contains("4one\u{1e}4two"), "{body}");
}

#[tokio::test]
async fn who_posts_but_does_not_poll_is_slowed_down() {
    let server = Server::start().await;
    let client = Poller::open(server.address).await;
    let message = format!("4{}", "x".repeat(9_999));
    let mut posted = 0;
    let held = loop {
        let post = tokio::spawn({
            let (client, address, message) = (client.clone(), server.address, message.clone());
            async move { client.post(address, message).await }
        });
        let mut post = post;
        match tokio::time::timeout(Duration::from_millis(500), &mut post).await {
            Ok(answer) => assert_eq!(answer.unwrap(), ok("ok")),
            Err(_) => break post,
        }
        posted += 1;
        assert!(
            posted < 1_000,
            "the echoes of a client that does not take them pile up"
        );
    };
    // It goes on when the client takes what was said.
    assert_eq!(client.get(server.address).await.0, 200);
    assert_eq!(held.await.unwrap(), ok("ok"));
}

#[tokio::test]
async fn the_server_ends_a_session_in_an_answer() {
    let server = Server::start().await;
    let client = Poller::open(server.address).await;
    assert_eq!(client.post(server.address, "4close").await, ok("ok"));
    assert_eq!(client.get(server.address).await, ok("4closing"));
    assert_eq!(client.get(server.address).await, ok("1"));
    assert_eq!(client.get(server.address).await, unknown());
    assert_eq!(server.lab.ended(1).await, [Ended::Protocol]);
}

#[tokio::test]
async fn a_client_that_does_not_fetch_the_end_is_not_waited_for() {
    let server = Server::start_set(Settings {
        close_timeout: Duration::from_millis(200),
        ..Settings::default()
    })
    .await;
    let client = Poller::open(server.address).await;
    assert_eq!(client.post(server.address, "4close").await, ok("ok"));
    assert_eq!(server.lab.ended(1).await, [Ended::Protocol]);
}
