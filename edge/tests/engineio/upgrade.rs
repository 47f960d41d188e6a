//! The change from polling to WebSocket.

use std::sync::atomic::Ordering;
use std::time::Duration;

use edge::engineio::{Ended, Settings};

use crate::client::{Came, Poller, Socket, bad, ok, soon};
use crate::lab::Server;

fn get(client: &Poller, server: &Server) -> tokio::task::JoinHandle<(u16, String)> {
    let (client, address) = (client.clone(), server.address);
    tokio::spawn(async move { client.get(address).await })
}

#[tokio::test]
async fn a_get_that_waits_is_let_go_when_the_websocket_works() {
    let server = Server::start().await;
    let client = Poller::open(server.address).await;
    let waiting = get(&client, &server);
    let mut socket = Socket::connect(server.address, Some(&client.sid)).await;
    socket.send("2probe").await;
    assert_eq!(socket.next().await, Came::Text("3probe".into()));
    assert_eq!(waiting.await.unwrap(), ok("6"));
    // As long as the client has not changed it may poll.
    assert_eq!(get(&client, &server).await.unwrap(), ok("6"));
    assert_eq!(client.post(server.address, "4still").await, ok("ok"));
    assert_eq!(client.get(server.address).await, ok("4still"));
    socket.send("5").await;
    socket.echo("there").await;
    assert_eq!(client.get(server.address).await, bad());
    assert_eq!(client.post(server.address, "4x").await, bad());
    socket.echo("still there").await;
}

#[tokio::test]
async fn what_was_not_fetched_comes_on_the_websocket() {
    let server = Server::start().await;
    let client = Poller::open(server.address).await;
    assert_eq!(
        client.post(server.address, "4one\u{1e}bAQID\u{1e}4two").await,
        ok("ok")
    );
    let mut socket = Socket::upgrade(server.address, &client.sid).await;
    for came in [
        Came::Text("4one".into()),
        Came::Binary(vec![1, 2, 3]),
        Came::Text("4two".into()),
    ] {
        assert_eq!(socket.next().await, came);
    }
    socket.echo("three").await;
}

#[tokio::test]
async fn an_attempt_that_fails_leaves_the_session_alone() {
    let server = Server::start_set(Settings {
        upgrade_timeout: Duration::from_millis(300),
        ..Settings::default()
    })
    .await;
    let client = Poller::open(server.address).await;
    for nonsense in ["4hello", "2", "3probe", "x", "1"] {
        let mut socket = Socket::connect(server.address, Some(&client.sid)).await;
        socket.send(nonsense).await;
        assert_eq!(socket.end().await, Came::Closed(1000), "{nonsense}");
    }
    // One that says nothing, one that stops in the middle, and one that is gone.
    let mut silent = Socket::connect(server.address, Some(&client.sid)).await;
    assert_eq!(silent.end().await, Came::Closed(1000));
    let mut half = Socket::connect(server.address, Some(&client.sid)).await;
    half.send("2probe").await;
    assert_eq!(half.next().await, Came::Text("3probe".into()));
    assert_eq!(half.end().await, Came::Closed(1000));
    let mut gone = Socket::connect(server.address, Some(&client.sid)).await;
    gone.send("2probe").await;
    assert_eq!(gone.next().await, Came::Text("3probe".into()));
    drop(gone);
    assert_eq!(client.post(server.address, "4fine").await, ok("ok"));
    assert_eq!(client.get(server.address).await, ok("4fine"));
    // And it can try again.
    let mut socket = loop {
        let mut socket = Socket::connect(server.address, Some(&client.sid)).await;
        socket.send("2probe").await;
        // Until the loss of the last one is noticed there is no place for another.
        if socket.next().await == Came::Text("3probe".into()) {
            break socket;
        }
    };
    socket.send("5").await;
    socket.echo("here").await;
    assert_eq!(server.lab.ended_so_far(), 0);
}

#[tokio::test]
async fn a_second_websocket_is_turned_away() {
    let server = Server::start().await;
    let client = Poller::open(server.address).await;
    let mut first = Socket::connect(server.address, Some(&client.sid)).await;
    first.send("2probe").await;
    assert_eq!(first.next().await, Came::Text("3probe".into()));
    let mut second = Socket::connect(server.address, Some(&client.sid)).await;
    assert_eq!(second.end().await, Came::Closed(1000));
    first.send("5").await;
    first.echo("x").await;
    let mut third = Socket::connect(server.address, Some(&client.sid)).await;
    assert_eq!(third.end().await, Came::Closed(1000));
    first.echo("y").await;
    // Also where the session began on a WebSocket.
    let (mut own, sid) = Socket::open(server.address).await;
    let mut other = Socket::connect(server.address, Some(&sid)).await;
    assert_eq!(other.end().await, Came::Closed(1000));
    own.echo("z").await;
}

#[tokio::test]
async fn a_client_that_changes_gets_the_answer_to_its_last_post_although_nothing_is_taken() {
    let server = Server::start().await;
    let client = Poller::open(server.address).await;
    server.lab.set_deaf(true);
    let post = tokio::spawn({
        let (client, address) = (client.clone(), server.address);
        async move { client.post(address, "4one\u{1e}4two").await }
    });
    let mut socket = Socket::connect(server.address, Some(&client.sid)).await;
    socket.send("2probe").await;
    assert_eq!(socket.next().await, Came::Text("3probe".into()));
    // The client waits for this before it changes.
    assert_eq!(post.await.unwrap(), ok("ok"));
    socket.send("5").await;
    socket.send("4three").await;
    assert_eq!(server.lab.taken.load(Ordering::Relaxed), 0);
    server.lab.set_deaf(false);
    for text in ["4one", "4two", "4three"] {
        assert_eq!(socket.next().await, Came::Text(text.into()));
    }
}

#[tokio::test]
async fn nothing_is_lost_or_turned_round_in_many_changes_under_load() {
    const MESSAGES: usize = 60;
    let server = Server::start().await;
    for round in 0..10 {
        let client = Poller::open(server.address).await;
        let mut seen = Vec::new();
        let mut sent = 0;
        let mut poll = get(&client, &server);
        while sent < MESSAGES / 2 {
            assert_eq!(
                client
                    .post(server.address, format!("4{sent}\u{1e}4{}", sent + 1))
                    .await,
                ok("ok")
            );
            sent += 2;
            if poll.is_finished() {
                seen.extend(messages(&poll.await.unwrap().1));
                poll = get(&client, &server);
            }
        }
        let mut socket = Socket::connect(server.address, Some(&client.sid)).await;
        socket.send("2probe").await;
        assert_eq!(socket.next().await, Came::Text("3probe".into()));
        // As the official client does: no GET any more, and then the change.
        seen.extend(messages(&poll.await.unwrap().1));
        socket.send("5").await;
        while sent < MESSAGES {
            socket.send(&format!("4{sent}")).await;
            sent += 1;
        }
        soon("the echoes", async {
            while seen.len() < MESSAGES {
                let Came::Text(text) = socket.next().await else {
                    panic!("round {round} ended early")
                };
                seen.extend(messages(&text));
            }
        })
        .await;
        let expected: Vec<String> = (0..MESSAGES).map(|n| n.to_string()).collect();
        assert_eq!(seen, expected, "round {round}");
    }
}

fn messages(body: &str) -> Vec<String> {
    let packets = body.split('\u{1e}');
    packets
        .filter_map(|packet| packet.strip_prefix('4'))
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn the_end_of_a_session_ends_an_attempt_too() {
    let server = Server::start().await;
    let client = Poller::open(server.address).await;
    let mut socket = Socket::connect(server.address, Some(&client.sid)).await;
    socket.send("2probe").await;
    assert_eq!(socket.next().await, Came::Text("3probe".into()));
    assert_eq!(client.post(server.address, "1").await, ok("ok"));
    assert_eq!(socket.end().await, Came::Closed(1000));
    assert_eq!(server.lab.ended(1).await, [Ended::Client]);
}
