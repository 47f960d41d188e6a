//! How sessions begin, which requests are refused, and in which order that is decided.

use std::time::Duration;

use edge::engineio::{Settings, Transports};
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Answer, Poller, Socket, answer, bad, http, ok, soon, unknown};
use crate::lab::{Server, Wishes};
use crate::raw::Raw;

fn refused(code: u8, message: &str) -> Answer {
    let status = if code == 4 { 403 } else { 400 };
    (status, json!({"code": code, "message": message}).to_string())
}

#[tokio::test]
async fn the_first_packet_says_what_the_client_must_know() {
    let server = Server::start_set(Settings {
        ping_interval: Duration::from_millis(12_345),
        ping_timeout: Duration::from_secs(7),
        max_payload: 5_000,
        ..Settings::default()
    })
    .await;
    let url = format!(
        "http://{}/engine.io/?EIO=4&transport=polling&t=abc",
        server.address
    );
    let response = http().get(url).send().await.unwrap();
    let headers = response.headers().clone();
    assert_eq!(headers["content-type"], "text/plain; charset=UTF-8");
    assert_eq!(headers["cache-control"], "no-store");
    let body = response.text().await.unwrap();
    let mut open: Value = serde_json::from_str(&body[1..]).unwrap();
    let sid = open["sid"].take();
    assert_eq!(sid.as_str().unwrap().len(), 24);
    let expected = json!({"sid": null, "upgrades": ["websocket"], "pingInterval": 12345, "pingTimeout": 7000, "maxPayload": 5000});
    assert_eq!(open, expected);
    assert_eq!(
        server.lab.queries.lock().unwrap()[..],
        ["EIO=4&transport=polling&t=abc"]
    );
}

/// Method, query, whether the page is a foreign one, and which refusal comes. What is wrong in more than one way is
/// refused for what is looked at first. `KNOWN` is a session that polls, `SOCKET` one with a WebSocket, `UNKNOWN` none.
const REFUSALS: &[(&str, &str, bool, u8)] = &[
    // Whatever else is wrong, the transport is looked at first, then the origin, then the session.
    ("PUT", "", true, 0),
    ("GET", "EIO=4&transport=carrier-pigeon", false, 0),
    ("PUT", "transport=polling&sid=UNKNOWN", true, FORBIDDEN),
    ("PUT", "transport=polling&sid=UNKNOWN", false, 1),
    ("GET", "EIO=4&transport=polling&sid=x", false, 1),
    // The transport of a session.
    ("GET", "EIO=4&transport=websocket&sid=KNOWN", false, 3),
    ("GET", "EIO=4&transport=polling&sid=SOCKET", false, 3),
    ("PUT", "EIO=4&transport=polling&sid=KNOWN", false, 3),
    // A session begins with a GET, which asks for a WebSocket if it wants one.
    ("POST", "transport=websocket&refuse=", false, 2),
    ("PUT", "EIO=4&transport=polling", false, 2),
    ("GET", "transport=websocket&refuse=", false, 3),
    // Admission is asked before the version is looked at.
    ("GET", "EIO=3&transport=polling&refuse=", false, NOT_ADMITTED),
    ("GET", "EIO=3&transport=polling", false, 5),
    ("GET", "transport=polling", false, 5),
];
const FORBIDDEN: u8 = 4;
const NOT_ADMITTED: u8 = 104;

fn refusal(kind: u8) -> Answer {
    match kind {
        0 => refused(0, "Transport unknown"),
        1 => unknown(),
        2 => refused(2, "Bad handshake method"),
        3 => bad(),
        FORBIDDEN => refused(4, "Forbidden"),
        NOT_ADMITTED => refused(4, "you are not welcome"),
        _ => refused(5, "Unsupported protocol version"),
    }
}

#[tokio::test]
async fn each_refusal_has_its_code_and_they_are_checked_in_order() {
    let server = Server::start().await;
    let client = Poller::open(server.address).await;
    let (socket, on_socket) = Socket::open(server.address).await;
    for (method, query, foreign, kind) in REFUSALS {
        let query = query
            .replace("UNKNOWN", &format!("{}AAAAAAAAAAAAAAAA", server.edge))
            .replace("KNOWN", &client.sid)
            .replace("SOCKET", &on_socket);
        let url = format!("http://{}/engine.io/?{query}", server.address);
        let mut request = http().request(method.parse().unwrap(), url);
        if *foreign {
            request = request.header("origin", "https://evil.example");
        }
        assert_eq!(answer(request).await, refusal(*kind), "{method} {query}");
    }
    // None of it has harmed the sessions.
    assert_eq!(client.post(server.address, "4x").await, ok("ok"));
    assert_eq!(client.get(server.address).await, ok("4x"));
    socket.close().await;
}

#[tokio::test]
async fn a_websocket_that_is_refused_gets_the_message_as_text() {
    let server = Server::start().await;
    for (query, message) in [
        ("EIO=4&transport=flash", "Transport unknown"),
        ("EIO=4&transport=polling", "Bad request"),
        ("EIO=4&transport=websocket&sid=nobody", "Session ID unknown"),
        ("EIO=3&transport=websocket", "Unsupported protocol version"),
        ("EIO=4&transport=websocket&refuse=", "you are not welcome"),
    ] {
        let mut raw = Raw::connect(server.address).await;
        raw.ask_websocket(query).await;
        let (head, body) = raw.answer().await;
        assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
        assert_eq!(body, message);
    }
}

#[tokio::test]
async fn transports_can_be_switched_off() {
    let with = |polling, websocket| Settings {
        transports: Transports { polling, websocket },
        ..Settings::default()
    };
    let server = Server::start_set(with(true, false)).await;
    let client = Poller::open(server.address).await;
    let url = format!("http://{}/engine.io/?EIO=4&transport=polling", server.address);
    let (_, body) = answer(http().get(url)).await;
    assert!(body.contains("\"upgrades\":[]"), "{body}");
    let mut raw = Raw::connect(server.address).await;
    raw.ask_websocket(&format!("EIO=4&transport=websocket&sid={}", client.sid))
        .await;
    assert_eq!(raw.answer().await.1, "Transport unknown");

    let server = Server::start_set(with(false, true)).await;
    let url = format!("http://{}/engine.io/?EIO=4&transport=polling", server.address);
    assert_eq!(answer(http().get(url)).await, refused(0, "Transport unknown"));
    let (mut socket, _) = Socket::open(server.address).await;
    socket.echo("x").await;
}

#[tokio::test]
async fn the_path_may_stand_without_its_last_slash_and_no_other_is_served() {
    let server = Server::start().await;
    let get = |path: &str| http().get(format!("http://{}{path}?EIO=4&transport=polling", server.address));
    assert_eq!(answer(get("/engine.io")).await.0, 200);
    assert_eq!(answer(get("/engine.io/")).await.0, 200);
    assert_eq!(answer(get("/engine.io/x")).await.0, 404);
    assert_eq!(answer(get("/")).await.0, 404);
}

#[tokio::test]
async fn there_are_no_more_sessions_than_there_may_be() {
    let server = Server::start_set(Settings {
        sessions_max: 2,
        ..Settings::default()
    })
    .await;
    let client = Poller::open(server.address).await;
    let (_socket, _) = Socket::open(server.address).await;
    let url = format!("http://{}/engine.io/?EIO=4&transport=polling", server.address);
    let full = (503, r#"{"code":4,"message":"too many sessions"}"#.to_owned());
    assert_eq!(answer(http().get(&url)).await, full);
    assert_eq!(client.post(server.address, "1").await, ok("ok"));
    soon("a place", async {
        while answer(http().get(&url)).await.0 != 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn pages_of_allowed_origins_may_come_with_their_credentials() {
    let app = "https://app.example";
    let server = Server::start_with(Wishes {
        origins: vec![app.into()],
        ..Wishes::default()
    })
    .await;
    let url = format!("http://{}/engine.io/?EIO=4&transport=polling", server.address);
    let header = |response: &reqwest::Response, name: &str| {
        let value = response.headers().get(name);
        value.map(|value| value.to_str().unwrap().to_owned())
    };
    let response = http().get(&url).header("origin", app).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    assert_eq!(
        header(&response, "access-control-allow-origin").as_deref(),
        Some(app)
    );
    assert_eq!(
        header(&response, "access-control-allow-credentials").as_deref(),
        Some("true")
    );
    assert_eq!(header(&response, "vary").as_deref(), Some("origin"));

    let preflight = http()
        .request(Method::OPTIONS, &url)
        .header("origin", app)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "x-token");
    let response = preflight.send().await.unwrap();
    assert_eq!(response.status().as_u16(), 204);
    assert_eq!(
        header(&response, "access-control-allow-origin").as_deref(),
        Some(app)
    );
    assert_eq!(
        header(&response, "access-control-allow-credentials").as_deref(),
        Some("true")
    );
    assert_eq!(
        header(&response, "access-control-allow-headers").as_deref(),
        Some("x-token")
    );
    assert!(
        header(&response, "access-control-allow-methods")
            .unwrap()
            .contains("POST")
    );

    // A page that may not come can read no more than that.
    let response = http()
        .get(&url)
        .header("origin", "https://evil.example")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status().as_u16(), 403);
    assert_eq!(header(&response, "access-control-allow-origin"), None);
    // Errors can be read by those who may.
    let response = http()
        .get(format!("{url}&sid=x"))
        .header("origin", app)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status().as_u16(), 400);
    assert_eq!(
        header(&response, "access-control-allow-origin").as_deref(),
        Some(app)
    );
}

#[tokio::test]
async fn where_any_page_may_come_none_comes_with_credentials() {
    let server = Server::start_with(Wishes {
        origins: vec!["*".into()],
        ..Wishes::default()
    })
    .await;
    let url = format!("http://{}/engine.io/?EIO=4&transport=polling", server.address);
    let request = http().get(&url).header("origin", "https://any.example");
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    assert!(
        !response
            .headers()
            .contains_key("access-control-allow-credentials")
    );
}
