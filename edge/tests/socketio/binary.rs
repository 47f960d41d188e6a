//! Binary, both ways.

use serde_json::{Value, json};

use crate::client::Clients;
use crate::server::{Server, over_both_transports};

over_both_transports! {
    binary_passes_nested_and_in_any_number_up_to_ten;
    acknowledgements_may_be_binary_both_ways;
    large_binary_passes_in_pieces;
    more_than_ten_attachments_end_the_connection;
}

fn binary(byte: u8, count: usize) -> Value {
    json!({"$hex": format!("{byte:02x}").repeat(count)})
}

async fn binary_passes_nested_and_in_any_number_up_to_ten(options: Value) {
    let (server, mut clients) = (Server::start().await, Clients::start());
    clients.connected("a", &server.url("/a"), options).await;
    assert_eq!(clients.event("a").await, json!(["auth", {}]));
    for args in [
        json!(["echo", binary(1, 3)]),
        json!(["echo", binary(1, 0), "between", binary(255, 1)]),
        json!(["echo", {"a": [{"b": binary(7, 1000)}, binary(8, 1)], "c": null}, [[binary(9, 2)]]]),
        json!([
            "echo",
            (0..10).map(|byte| binary(byte, 5)).collect::<Vec<Value>>()
        ]),
    ] {
        clients.emit("a", args.clone()).await;
        assert_eq!(clients.event("a").await, args);
        clients.emit("a", json!(["echo", "text between"])).await;
        assert_eq!(clients.event("a").await, json!(["echo", "text between"]));
    }
}

async fn acknowledgements_may_be_binary_both_ways(options: Value) {
    let (server, mut clients) = (Server::start().await, Clients::start());
    clients.connected("a", &server.url(""), options).await;
    assert_eq!(clients.event("a").await, json!(["auth", {}]));
    let args = json!(["echo", {"file": binary(3, 300)}, 1]);
    assert_eq!(clients.ask("a", args).await, json!([{"file": binary(3, 300)}, 1]));
    clients.event("a").await;
    clients
        .order(
            "a",
            "reply",
            json!({"event": "question", "args": [binary(4, 2), [binary(5, 2)]]}),
        )
        .await;
    clients.emit("a", json!(["ask", binary(6, 6)])).await;
    assert_eq!(clients.event("a").await, json!(["question", binary(6, 6)]));
    assert_eq!(
        clients.event("a").await,
        json!(["answered", binary(4, 2), [binary(5, 2)]])
    );
}

async fn large_binary_passes_in_pieces(options: Value) {
    let (server, mut clients) = (Server::start().await, Clients::start());
    clients.connected("a", &server.url(""), options).await;
    clients.event("a").await;
    // Each attachment is a message of its own, below what one may have; in Base64 it is a third larger.
    let args = json!(["echo", binary(1, 700_000), binary(2, 700_000), binary(3, 700_000)]);
    clients.emit("a", args.clone()).await;
    assert!(clients.event("a").await == args);
}

async fn more_than_ten_attachments_end_the_connection(mut options: Value) {
    let (server, mut clients) = (Server::start().await, Clients::start());
    options["reconnection"] = json!(false);
    clients.connected("a", &server.url(""), options).await;
    let args: Vec<Value> = (0..11).map(|byte| binary(byte, 1)).collect();
    clients.emit("a", json!(["echo", args])).await;
    let reason = clients.hear("a", "disconnect").await["reason"].take();
    assert!(
        reason == "transport close" || reason == "transport error",
        "{reason}"
    );
    server.log.wait("/ gone Connection", 1).await;
    assert!(!server.log.lines().contains(&"/ echo".to_owned()));
}
