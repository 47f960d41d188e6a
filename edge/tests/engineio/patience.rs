//! Slow clients, clients that take nothing, and the end of the edge.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use edge::engineio::{Ended, Settings};

use crate::client::{Came, Poller, Socket, ok, soon};
use crate::lab::{FLOOD_BYTES, Server};
use crate::raw::{Raw, frame};

/// Waits until no more is fetched for a client; returns how much was.
async fn flooded(server: &Server) -> usize {
    soon("the flood to stop", async {
        loop {
            let before = server.lab.flooded.load(Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(300)).await;
            if before > 0 && server.lab.flooded.load(Ordering::Relaxed) == before {
                return before * FLOOD_BYTES;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_peer_with_a_closed_window_is_noticed_in_time_and_holds_little() {
    let server = Server::start_set(Settings {
        write_timeout: Duration::from_secs(2),
        ..Settings::default()
    })
    .await;
    let mut raw = Raw::connect_narrow(server.address).await;
    raw.open_websocket().await;
    let begun = Instant::now();
    raw.write(frame(0x81, b"4flood")).await;
    // What its kernel and ours take, and one message: nothing is fetched that cannot be written.
    let fetched = flooded(&server).await;
    assert!(fetched < 8 * 1024 * 1024, "{fetched} bytes");
    assert_eq!(server.lab.ended(1).await, [Ended::Lost]);
    let took = begun.elapsed();
    assert!(
        took >= Duration::from_secs(2) && took < Duration::from_secs(30),
        "{took:?}"
    );
    // The connection is reset: what is not taken does not wait in the kernel.
    raw.end().await;
    soon("the task", async {
        while server.hosting.tasks.len() > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_that_reads_slowly_stays_and_gets_everything() {
    let server = Server::start_set(Settings {
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(600),
        write_timeout: Duration::from_secs(2),
        ..Settings::default()
    })
    .await;
    let mut raw = Raw::connect_narrow(server.address).await;
    raw.open_websocket().await;
    raw.write(frame(0x81, b"4flood")).await;
    let begun = Instant::now();
    let mut pings = 0;
    // Longer than any of the timeouts, at a pace at which the answer to a ping never comes in time.
    while begun.elapsed() < Duration::from_secs(5) {
        let (opcode, payload) = raw.frame().await.unwrap();
        match opcode {
            2 => assert_eq!(payload.len(), FLOOD_BYTES),
            _ => {
                assert_eq!(payload, b"2");
                pings += 1;
                raw.write(frame(0x81, b"3")).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(pings > 0);
    assert_eq!(server.lab.ended_so_far(), 0);
}

#[tokio::test]
async fn a_client_that_fetches_a_large_answer_slowly_stays() {
    // Much more than the kernels take at once: only what they have not taken shows that the client goes on.
    const BYTES: usize = 32 * 1024 * 1024;
    let server = Server::start_set(Settings {
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_secs(4),
        // A ping may be due before the answer is fetched; it fits in.
        max_payload: BYTES + 10,
        ..Settings::default()
    })
    .await;
    let client = Poller::open(server.address).await;
    let message = format!("4{}", "x".repeat(BYTES - 1));
    assert_eq!(client.post(server.address, message).await, ok("ok"));
    let mut raw = Raw::connect_narrow(server.address).await;
    let path = format!("/engine.io/?EIO=4&transport=polling&sid={}", client.sid);
    raw.write(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    let begun = Instant::now();
    let mut buffer = vec![0; 64 * 1024];
    let mut read = 0;
    while read < BYTES {
        // No faster than this, so that it takes longer than an answer to a ping may.
        let pace = begun + Duration::from_secs_f64(read as f64 / (6.0 * 1024.0 * 1024.0));
        tokio::time::sleep_until(pace.into()).await;
        let reading = tokio::io::AsyncReadExt::read(&mut raw.stream, &mut buffer);
        match soon("a piece", reading).await.unwrap() {
            0 => panic!("the answer broke off"),
            count => read += count,
        }
    }
    assert!(begun.elapsed() > Duration::from_secs(5));
    assert_eq!(server.lab.ended_so_far(), 0);
    assert_eq!(client.get(server.address).await, ok("2"));
    assert_eq!(client.post(server.address, "3").await, ok("ok"));
}

#[tokio::test]
async fn a_client_is_not_read_while_the_protocol_wants_nothing() {
    const BYTES_MAX: usize = 64 * 1024 * 1024;
    let server = Server::start_set(Settings {
        ping_interval: Duration::from_millis(200),
        ping_timeout: Duration::from_millis(300),
        ..Settings::default()
    })
    .await;
    let mut raw = Raw::connect(server.address).await;
    raw.open_websocket().await;
    server.lab.set_deaf(true);
    let message = frame(0x81, &[b'4'; 10_000]);
    let mut sent = 0;
    // Until what it sends waits in its own kernel.
    while let Ok(written) = tokio::time::timeout(
        Duration::from_millis(500),
        tokio::io::AsyncWriteExt::write(&mut raw.stream, &message[sent % message.len()..]),
    )
    .await
    {
        sent += written.unwrap();
        assert!(sent < BYTES_MAX, "the server reads without end");
    }
    // Its silence is not held against it.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let taken = server.lab.taken.load(Ordering::Relaxed);
    assert!(taken <= 1, "{taken} messages were taken");
    assert_eq!(server.lab.ended_so_far(), 0);
    server.lab.set_deaf(false);
    let mut echoes = 0;
    while echoes < sent / message.len() {
        let (_, payload) = raw.frame().await.unwrap();
        match &payload[..] {
            b"2" => raw.write([]).await,
            payload => {
                assert_eq!(payload.len(), 10_000);
                echoes += 1;
            }
        }
    }
}

#[tokio::test]
async fn echoes_do_not_pile_up_for_a_client_that_only_sends() {
    const BYTES_MAX: usize = 64 * 1024 * 1024;
    let server = Server::start().await;
    let mut raw = Raw::connect(server.address).await;
    raw.open_websocket().await;
    let message = frame(0x81, &[b'4'; 10_000]);
    let mut sent = 0;
    while let Ok(written) = tokio::time::timeout(
        Duration::from_millis(500),
        tokio::io::AsyncWriteExt::write(&mut raw.stream, &message[sent % message.len()..]),
    )
    .await
    {
        sent += written.unwrap();
        assert!(
            sent < BYTES_MAX,
            "the server takes messages whose echoes nobody takes"
        );
    }
    for _ in 0..sent / message.len() {
        assert_eq!(raw.frame().await.unwrap().1.len(), 10_000);
    }
}

#[tokio::test]
async fn everybody_is_asked_to_come_back_when_the_edge_stops() {
    let server = Server::start().await;
    let (mut socket, _) = Socket::open(server.address).await;
    let client = Poller::open(server.address).await;
    let silent = Poller::open(server.address).await;
    let waiting = tokio::spawn({
        let (client, address) = (client.clone(), server.address);
        async move { client.get(address).await }
    });
    // The GET waits at its session when that has been told of it.
    assert_eq!(client.post(server.address, "4x").await, ok("ok"));
    assert_eq!(waiting.await.unwrap(), ok("4x"));
    let waiting = tokio::spawn({
        let (client, address) = (client.clone(), server.address);
        async move { client.get(address).await }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.shutdown.cancel();
    assert_eq!(socket.next().await, Came::Text("4draining".into()));
    assert_eq!(socket.end().await, Came::Closed(1012));
    assert_eq!(waiting.await.unwrap(), ok("4draining"));
    assert_eq!(server.lab.ended(3).await, [Ended::Draining; 3]);
    drop(silent);
    soon("the tasks", server.hosting.tasks.wait()).await;
}

#[tokio::test]
async fn a_protocol_that_does_not_end_is_not_waited_for() {
    let server = Server::start_set(Settings {
        drain_timeout: Duration::from_millis(300),
        close_timeout: Duration::from_millis(300),
        ..Settings::default()
    })
    .await;
    server.lab.set_stubborn();
    let (mut socket, _) = Socket::open(server.address).await;
    let _client = Poller::open(server.address).await;
    server.shutdown.cancel();
    assert_eq!(socket.end().await, Came::Closed(1012));
    assert_eq!(server.lab.ended(2).await, [Ended::Draining; 2]);
    soon("the tasks", server.hosting.tasks.wait()).await;
}

#[tokio::test]
async fn an_edge_that_stops_begins_no_sessions() {
    let server = Server::start().await;
    // A connection on which a request has begun, so that it stays open.
    let mut raw = Raw::connect(server.address).await;
    raw.write("GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n")
        .await;
    let (_socket, _) = Socket::open(server.address).await;
    server.hosting.drain.cancel();
    server.lab.ended(1).await;
    raw.write("\r\n").await;
    let (head, body) = raw.answer().await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert_eq!(body, r#"{"code":4,"message":"this edge is going away"}"#);
}

#[tokio::test]
async fn an_answer_of_which_nothing_is_taken_is_given_up() {
    let server = Server::start_set(Settings {
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(300),
        write_timeout: Duration::from_secs(1),
        max_payload: 8 * 1024 * 1024,
        ..Settings::default()
    })
    .await;
    let poller = Poller::open(server.address).await;
    let large = format!("4{}", "x".repeat(6 * 1024 * 1024));
    assert_eq!(poller.post(server.address, large).await, ok("ok"));
    let mut raw = Raw::connect_narrow(server.address).await;
    let target = format!("/engine.io/?EIO=4&transport=polling&sid={}", poller.sid);
    let begun = Instant::now();
    raw.write(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"))
        .await;
    drop(poller);
    // Neither the session nor its connection is there any more, long before the system would give up.
    assert_eq!(server.lab.ended(1).await, [Ended::Lost]);
    soon("the connection", async {
        while server.hosting.tasks.len() > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let took = begun.elapsed();
    assert!(
        took >= Duration::from_secs(1) && took < Duration::from_secs(30),
        "{took:?}"
    );
}
