//! Namespaces of one connection, and who is let in.

use serde_json::{Value, json};

use crate::client::Clients;
use crate::server::{Server, over_both_transports};

over_both_transports! {
    namespaces_share_one_connection_and_keep_apart;
    the_application_sees_auth_and_headers;
    an_unknown_namespace_is_an_error_for_its_socket_only;
    a_refusal_brings_its_message_and_data;
    a_client_that_waits_to_be_let_in_sends_what_it_said_meanwhile;
}

async fn namespaces_share_one_connection_and_keep_apart(options: Value) {
    let (server, mut clients) = (Server::start().await, Clients::start());
    for (socket, namespace) in [("root", ""), ("a", "/a"), ("b", "/b")] {
        clients
            .connected(socket, &server.url(namespace), options.clone())
            .await;
        assert_eq!(clients.event(socket).await, json!(["auth", {}]));
    }
    assert_eq!(server.connections(), 1);
    for socket in ["root", "a", "b"] {
        assert_eq!(
            clients.ask(socket, json!(["echo", socket])).await,
            json!([socket])
        );
        assert_eq!(clients.event(socket).await, json!(["echo", socket]));
    }
    clients.order("a", "disconnect", json!({})).await;
    assert_eq!(
        clients.hear("a", "disconnect").await["reason"],
        "io client disconnect"
    );
    server.log.wait("/a gone Client", 1).await;
    assert_eq!(clients.ask("b", json!(["echo", 1])).await, json!([1]));
    clients.order("a", "connect", json!({})).await;
    clients.hear("a", "connect").await;
    assert_eq!(clients.event("a").await, json!(["auth", {}]));
    assert_eq!(server.connections(), 1);
    for socket in ["root", "a", "b"] {
        assert!(clients.unheard(socket, "disconnect").is_empty());
    }
}

async fn the_application_sees_auth_and_headers(mut options: Value) {
    let (server, mut clients) = (Server::start().await, Clients::start());
    options["auth"] = json!({"token": "ä", "more": [1, {"x": null}]});
    options["extraHeaders"] = json!({"x-test": "this one"});
    clients.connected("a", &server.url("/a"), options).await;
    assert_eq!(
        clients.event("a").await,
        json!(["auth", {"token": "ä", "more": [1, {"x": null}]}])
    );
    assert_eq!(server.log.lines(), ["/a connect this one"]);
}

async fn an_unknown_namespace_is_an_error_for_its_socket_only(options: Value) {
    let (server, mut clients) = (Server::start().await, Clients::start());
    clients.connected("root", &server.url(""), options.clone()).await;
    clients.event("root").await;
    clients.open("x", &server.url("/unknown"), options).await;
    let error = clients.hear("x", "connect_error").await;
    assert_eq!(error["message"], "Invalid namespace");
    assert_eq!(clients.state("x").await["active"], false, "it does not try again");
    assert_eq!(clients.ask("root", json!(["echo", 1])).await, json!([1]));
    assert_eq!(server.connections(), 1);
}

async fn a_refusal_brings_its_message_and_data(options: Value) {
    let (server, mut clients) = (Server::start().await, Clients::start());
    clients.open("x", &server.url("/forbidden"), options).await;
    let error = clients.hear("x", "connect_error").await;
    assert_eq!(
        (&error["message"], &error["data"]),
        (&json!("not allowed"), &json!({"code": 7}))
    );
    assert_eq!(clients.state("x").await["active"], false);
    server.log.wait("/forbidden gone Server", 1).await;
}

async fn a_client_that_waits_to_be_let_in_sends_what_it_said_meanwhile(options: Value) {
    let (server, mut clients) = (Server::start().await, Clients::start());
    clients.open("slow", &server.url("/slow"), options).await;
    assert_eq!(
        clients.ask("slow", json!(["echo", "early"])).await,
        json!(["early"])
    );
    assert_eq!(clients.event("slow").await, json!(["auth", {}]));
    assert_eq!(clients.event("slow").await, json!(["echo", "early"]));
}
