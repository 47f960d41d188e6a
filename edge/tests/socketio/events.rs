//! Events and acknowledgements, both ways.

use serde_json::{Value, json};

use crate::client::Clients;
use crate::server::{Server, over_both_transports};

over_both_transports! {
    events_come_as_they_were_sent;
    both_sides_acknowledge;
    a_client_does_not_wait_for_an_acknowledgement_for_ever;
    many_events_keep_their_order;
    large_messages_pass;
    volatile_events_pass_when_the_way_is_free;
}

async fn events_come_as_they_were_sent(options: Value) {
    let (server, mut clients) = (Server::start().await, Clients::start());
    clients.connected("a", &server.url(""), options).await;
    assert_eq!(clients.event("a").await, json!(["auth", {}]));
    for args in [
        json!(["echo"]),
        json!(["echo", null, true, -0.5, 1e300, "ä\u{1f600}\n\"\\", [], {}, {"a": [{"b": []}]}]),
        json!(["echo", {"_placeholder": true, "num": 7}]),
        json!(["echo", "", {"": ""}]),
        json!(["echo", "\u{2028}\u{0}\u{7f}"]),
    ] {
        clients.emit("a", args.clone()).await;
        assert_eq!(clients.event("a").await, args);
    }
}

async fn both_sides_acknowledge(options: Value) {
    let (server, mut clients) = (Server::start().await, Clients::start());
    clients.connected("a", &server.url(""), options).await;
    assert_eq!(clients.event("a").await, json!(["auth", {}]));
    assert_eq!(
        clients.ask("a", json!(["echo", 1, "two"])).await,
        json!([1, "two"])
    );
    assert_eq!(clients.event("a").await, json!(["echo", 1, "two"]));
    assert_eq!(clients.ask("a", json!(["echo"])).await, json!([]));
    clients.event("a").await;

    clients
        .order(
            "a",
            "reply",
            json!({"event": "question", "args": [{"yes": true}, 2]}),
        )
        .await;
    clients.emit("a", json!(["ask", "why?"])).await;
    assert_eq!(clients.event("a").await, json!(["question", "why?"]));
    assert_eq!(clients.event("a").await, json!(["answered", {"yes": true}, 2]));
}

async fn a_client_does_not_wait_for_an_acknowledgement_for_ever(options: Value) {
    let (server, mut clients) = (Server::start().await, Clients::start());
    clients.connected("a", &server.url(""), options).await;
    let silent = json!({"args": ["silent"], "ack": 1, "timeout": 100});
    clients.order("a", "emit", silent).await;
    let ack = clients.hear("a", "ack").await;
    assert_eq!(ack["error"], "operation has timed out");
    let echo = json!({"args": ["echo", "here"], "ack": 2, "timeout": 10_000});
    clients.order("a", "emit", echo).await;
    let ack = clients.hear("a", "ack").await;
    assert_eq!((&ack["ack"], &ack["args"]), (&json!(2), &json!(["here"])));
}

async fn many_events_keep_their_order(options: Value) {
    let (server, mut clients) = (Server::start().await, Clients::start());
    clients.connected("a", &server.url(""), options).await;
    clients.event("a").await;
    for number in 0..500 {
        clients
            .emit("a", json!(["echo", number, "x".repeat(number % 50)]))
            .await;
    }
    for number in 0..500 {
        assert_eq!(
            clients.event("a").await,
            json!(["echo", number, "x".repeat(number % 50)])
        );
    }
}

async fn large_messages_pass(options: Value) {
    let (server, mut clients) = (Server::start().await, Clients::start());
    clients.connected("a", &server.url(""), options).await;
    clients.event("a").await;
    for bytes in [0, 125, 126, 65_535, 65_536, 900_000] {
        clients.emit("a", json!(["echo", "é".repeat(bytes / 2)])).await;
        assert_eq!(clients.event("a").await, json!(["echo", "é".repeat(bytes / 2)]));
    }
    // What the server says is not bounded by what it takes.
    clients.emit("a", json!(["large", 5_000_000])).await;
    assert_eq!(clients.event("a").await[1].as_str().unwrap().len(), 5_000_000);
}

async fn volatile_events_pass_when_the_way_is_free(options: Value) {
    let (server, mut clients) = (Server::start().await, Clients::start());
    clients.connected("a", &server.url(""), options).await;
    clients.event("a").await;
    // The client may drop its own volatile event, but not for ever.
    while clients.unheard("a", "event").is_empty() {
        clients
            .order("a", "emit", json!({"args": ["volatile"], "volatile": true}))
            .await;
        clients.state("a").await;
    }
    assert_eq!(clients.event("a").await, json!(["now", 1]));
}
