//! Pings, and clients that do not answer them.

use std::time::Duration;

use edge::engineio::{Ended, Settings};

use crate::client::{Came, Poller, Socket, ok, soon, unknown};
use crate::lab::Server;

fn impatient() -> Settings {
    Settings {
        ping_interval: Duration::from_millis(100),
        ping_timeout: Duration::from_millis(400),
        close_timeout: Duration::from_millis(300),
        ..Settings::default()
    }
}

#[tokio::test]
async fn who_answers_stays() {
    let server = Server::start_set(impatient()).await;
    let (mut socket, _) = Socket::open(server.address).await;
    let client = Poller::open(server.address).await;
    for _ in 0..10 {
        assert_eq!(socket.next().await, Came::Text("2".into()));
        socket.send("3").await;
        assert_eq!(client.get(server.address).await, ok("2"));
        assert_eq!(client.post(server.address, "3").await, ok("ok"));
    }
    assert_eq!(server.lab.ended_so_far(), 0);
}

#[tokio::test]
async fn who_does_not_answer_is_gone() {
    let server = Server::start_set(impatient()).await;
    let (mut socket, _) = Socket::open(server.address).await;
    assert_eq!(socket.end().await, Came::Closed(1000));
    let client = Poller::open(server.address).await;
    // One that takes the ping, and then the end.
    let mut pings = 0;
    let last = soon("the end", async {
        loop {
            match client.get(server.address).await {
                ping if ping == ok("2") => pings += 1,
                other => break other,
            }
        }
    })
    .await;
    assert_eq!(last, ok("1"));
    assert!(pings > 0);
    // One that does not even come.
    let silent = Poller::open(server.address).await;
    assert_eq!(server.lab.ended(3).await, [Ended::Lost; 3]);
    assert_eq!(silent.get(server.address).await, unknown());
}

#[tokio::test]
async fn pings_come_in_time_although_much_else_is_sent() {
    let server = Server::start_set(Settings {
        ping_interval: Duration::from_millis(200),
        ping_timeout: Duration::from_secs(20),
        ..Settings::default()
    })
    .await;
    let (mut socket, _) = Socket::open(server.address).await;
    socket.send("4flood").await;
    let mut last = tokio::time::Instant::now();
    let mut pings = 0;
    soon("pings", async {
        while pings < 5 {
            // Slower than the server, so that something waits for it at all times.
            tokio::time::sleep(Duration::from_millis(1)).await;
            if let Came::Text(text) = socket.next().await {
                assert_eq!(text, "2");
                // Generous, for machines that are busy; without care it would come behind everything.
                assert!(last.elapsed() < Duration::from_secs(10));
                last = tokio::time::Instant::now();
                pings += 1;
                socket.send("3").await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_ping_of_the_client_is_a_breach() {
    let server = Server::start().await;
    for ping in ["2", "2probe"] {
        let (mut socket, _) = Socket::open(server.address).await;
        socket.send(ping).await;
        assert_eq!(socket.end().await, Came::Closed(1000));
    }
    assert_eq!(server.lab.ended(2).await, [Ended::Broken; 2]);
}
