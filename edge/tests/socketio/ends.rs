//! How connections end, and what the client does then.

use serde_json::{Value, json};

use crate::client::Clients;
use crate::server::{Server, over_both_transports};

over_both_transports! {
    a_client_leaves_and_may_come_back;
    a_server_makes_a_client_leave_and_it_stays_away;
    a_client_comes_back_when_the_server_ends_the_connection;
    a_client_comes_back_when_its_connection_is_lost;
    a_client_is_not_told_to_stay_away_when_the_edge_stops;
}

async fn a_client_leaves_and_may_come_back(options: Value) {
    let (server, mut clients) = (Server::start().await, Clients::start());
    let first = clients.connected("a", &server.url(""), options).await;
    clients.event("a").await;
    clients.order("a", "disconnect", json!({})).await;
    assert_eq!(
        clients.hear("a", "disconnect").await["reason"],
        "io client disconnect"
    );
    server.log.wait("/ gone Client", 1).await;
    clients.order("a", "connect", json!({})).await;
    let second = clients.hear("a", "connect").await;
    assert_ne!(second["id"], first);
    assert_eq!(second["recovered"], false);
    assert_eq!(clients.event("a").await, json!(["auth", {}]));
}

async fn a_server_makes_a_client_leave_and_it_stays_away(options: Value) {
    let (server, mut clients) = (Server::start().await, Clients::start());
    clients.connected("root", &server.url(""), options.clone()).await;
    clients.connected("a", &server.url("/a"), options).await;
    // What it says behind that finds nobody, and does no harm to its other namespace.
    for event in ["leave", "echo", "echo"] {
        clients.emit("a", json!([event])).await;
    }
    assert_eq!(
        clients.hear("a", "disconnect").await["reason"],
        "io server disconnect"
    );
    assert_eq!(clients.state("a").await["active"], false);
    server.log.wait("/a gone Server", 1).await;
    assert_eq!(clients.ask("root", json!(["echo", 1])).await, json!([1]));
    assert_eq!(server.connections(), 1);
    clients.order("a", "connect", json!({})).await;
    clients.hear("a", "connect").await;
    assert_eq!(clients.ask("a", json!(["echo", 2])).await, json!([2]));
}

async fn a_client_comes_back_when_the_server_ends_the_connection(options: Value) {
    let (server, mut clients) = (Server::start().await, Clients::start());
    clients.connected("root", &server.url(""), options.clone()).await;
    clients.connected("a", &server.url("/a"), options).await;
    clients.emit("a", json!(["cut"])).await;
    for socket in ["root", "a"] {
        let reason = clients.hear(socket, "disconnect").await["reason"].take();
        assert!(
            reason == "transport close" || reason == "transport error",
            "{reason}"
        );
        clients.hear(socket, "connect").await;
    }
    for namespace in ["/", "/a"] {
        server.log.wait(&format!("{namespace} gone Connection"), 1).await;
    }
    assert_eq!(clients.ask("a", json!(["echo", 2])).await, json!([2]));
}

async fn a_client_comes_back_when_its_connection_is_lost(options: Value) {
    let (server, mut clients) = (Server::start().await, Clients::start());
    let first = clients.connected("a", &server.url("/a"), options).await;
    for round in 1..=3 {
        clients.order("a", "cut", json!({})).await;
        clients.hear("a", "disconnect").await;
        // What is emitted meanwhile waits in the client.
        assert_eq!(clients.ask("a", json!(["echo", round])).await, json!([round]));
        assert_ne!(clients.hear("a", "connect").await["id"], first);
        server.log.wait("/a gone Connection", round).await;
    }
}

async fn a_client_is_not_told_to_stay_away_when_the_edge_stops(options: Value) {
    let (server, mut clients) = (Server::start().await, Clients::start());
    clients.connected("a", &server.url("/a"), options).await;
    server.stop().await;
    let reason = clients.hear("a", "disconnect").await["reason"].take();
    assert!(
        reason == "transport close" || reason == "transport error",
        "{reason}"
    );
    clients.hear("a", "reconnect_attempt").await;
    assert_eq!(clients.state("a").await["active"], true);
}
