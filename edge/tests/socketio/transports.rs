//! Polling, WebSocket, and the way from one to the other.

use serde_json::json;

use crate::client::Clients;
use crate::server::Server;

#[tokio::test]
async fn a_client_goes_from_polling_to_websocket_and_loses_nothing() {
    let (server, mut clients) = (Server::start().await, Clients::start());
    for round in 0..5 {
        let socket = format!("s{round}");
        clients
            .open(&socket, &server.url("/a"), json!({"forceNew": true}))
            .await;
        // Events run all the while.
        for number in 0..200 {
            clients.emit(&socket, json!(["echo", number])).await;
        }
        assert_eq!(clients.event(&socket).await, json!(["auth", {}]));
        for number in 0..200 {
            assert_eq!(clients.event(&socket).await, json!(["echo", number]));
        }
        assert_eq!(clients.hear(&socket, "transport").await["name"], "websocket");
        clients.emit(&socket, json!(["echo", {"$hex": "010203"}])).await;
        assert_eq!(clients.event(&socket).await, json!(["echo", {"$hex": "010203"}]));
        assert_eq!(clients.state(&socket).await["transport"], "websocket");
        assert!(clients.unheard(&socket, "disconnect").is_empty());
    }
}

#[tokio::test]
async fn a_client_stays_with_the_transport_that_it_wants() {
    let (server, mut clients) = (Server::start().await, Clients::start());
    for transport in ["polling", "websocket"] {
        let options = json!({"transports": [transport], "forceNew": true});
        clients.connected(transport, &server.url(""), options).await;
        assert_eq!(clients.ask(transport, json!(["echo", 1])).await, json!([1]));
        assert_eq!(clients.state(transport).await["transport"], transport);
    }
}

#[tokio::test]
async fn a_quiet_connection_lives_on_heartbeats() {
    let (server, mut clients) = (Server::start().await, Clients::start());
    for transport in ["polling", "websocket"] {
        clients
            .connected(
                transport,
                &server.url(""),
                json!({"transports": [transport], "forceNew": true}),
            )
            .await;
    }
    for transport in ["polling", "websocket"] {
        for _ in 0..5 {
            clients.hear(transport, "ping").await;
        }
        assert_eq!(clients.ask(transport, json!(["echo", 1])).await, json!([1]));
        assert!(clients.unheard(transport, "disconnect").is_empty());
    }
}
