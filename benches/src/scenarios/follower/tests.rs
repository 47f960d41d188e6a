//! What a client says to what a server sends.

use super::*;
use crate::load::payload::Stamp;

impl Tally for Vec<u64> {
    fn count(&mut self, number: u64) -> anyhow::Result<()> {
        self.push(number);
        Ok(())
    }
}

type Client = Follower<Vec<u64>>;

fn client(dialect: Dialect, streams: &[&str]) -> Client {
    Follower::new(
        dialect,
        streams.iter().map(|name| (*name).to_owned()).collect(),
        Vec::new(),
    )
}

const SWITCHED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";

fn from_server(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap().to_be_bytes();
    let head: &[u8] = match text.len() {
        0..126 => &[0x81, length[1]],
        _ => &[0x81, 126, length[0], length[1]],
    };
    [head, text.as_bytes()].concat()
}

fn event(number: u64) -> String {
    let mut data = Vec::new();
    payload::write(&mut data, Stamp { due_us: 0, number });
    String::from_utf8(data).unwrap()
}

/// What a client says to all this.
fn told(client: &mut Client, texts: &[String]) -> String {
    let mut out = Vec::new();
    client.open("h", &mut out);
    out.clear();
    let frames = texts.iter().flat_map(|text| from_server(text));
    let bytes: Vec<u8> = SWITCHED.iter().copied().chain(frames).collect();
    assert_eq!(client.feed(&bytes, &mut out).unwrap(), bytes.len());
    unmasked(&out)
}

fn unmasked(mut frames: &[u8]) -> String {
    let mut said = String::new();
    while let [0x81, length, rest @ ..] = frames {
        let length = usize::from(length & 0x7f);
        assert!(length < 126);
        let (key, rest) = rest.split_at(4);
        let (payload, rest) = rest.split_at(length);
        said.extend(
            payload
                .iter()
                .zip(key.iter().cycle())
                .map(|(byte, key)| char::from(byte ^ key)),
        );
        said.push('\n');
        frames = rest;
    }
    said
}

#[test]
fn a_socketio_client_comes_back_with_its_offset_and_tells_what_comes() {
    let mut client = client(Dialect::SocketIo, &["s"]);
    let first = [
        r#"0{"sid":"e"}"#.to_owned(),
        r#"40{"sid":"a","pid":"p"}"#.to_owned(),
        r#"430[{"ok":true}]"#.to_owned(),
        format!(r#"42["message",{},{{"cursor":"1"}},"o1"]"#, event(0)),
    ];
    let said = told(&mut client, &first);
    assert_eq!(said, "40\n420[\"subscribe\",{\"stream\":\"s\"}]\n");
    assert!(client.follows());
    let again = [
        r#"0{"sid":"f"}"#.to_owned(),
        r#"40{"sid":"a","pid":"p"}"#.to_owned(),
        format!(r#"42["message",{},{{}},"o2"]"#, event(1)),
        format!(r#"42["message",{},{{}},"o3"]"#, event(1)),
        r#"42["stream:gap",{"stream":"s","lost":2,"cursor":"1"},"o4"]"#.to_owned(),
        format!(r#"42["message",{},{{}},"o5"]"#, event(4)),
        // It says nothing of the position.
        r#"42["stream:degraded",{"stream":"s","since":"t"}]"#.to_owned(),
        "2".to_owned(),
    ];
    let said = told(&mut client, &again);
    assert_eq!(said, "40{\"pid\":\"p\",\"offset\":\"o1\"}\n3\n");
    assert_eq!((&client.tally[..], client.told_gone()), (&[0, 1, 1, 4][..], 2));
    assert_eq!(client.positions[0].as_deref(), Some("o5"));
    assert!(client.follows() && client.unrecovered() == 0);
    let elsewhere = [
        r#"0{"sid":"g"}"#.to_owned(),
        r#"40{"sid":"b","pid":"q"}"#.to_owned(),
    ];
    assert!(told(&mut client, &elsewhere).ends_with("420[\"subscribe\",{\"stream\":\"s\"}]\n"));
    assert_eq!(client.unrecovered(), 1);
}

#[test]
fn a_websocket_client_comes_back_with_the_cursor_of_each_stream() {
    let mut client = client(Dialect::WebSocket, &["a", "b"]);
    let subscribed =
        |name: &str| format!(r#"{{"type":"subscribed","stream":"{name}","cursor":"1-0.1","head":"1-0.1"}}"#);
    let event_of = |name: &str, number: u64, cursor: &str| {
        let data = event(number);
        format!(r#"{{"type":"event","id":"x","stream":"{name}","data":{data},"cursor":"{cursor}"}}"#)
    };
    let subscribe = |a: &str, b: &str| {
        format!("{{\"type\":\"subscribe\",\"streams\":{{\"a\":\"{a}\",\"b\":\"{b}\"}}}}\n")
    };
    let said = told(&mut client, &[subscribed("a"), event_of("a", 0, "2-0.2")]);
    assert_eq!(said, subscribe("now", "now"));
    assert!(!client.follows());
    let more = [
        subscribed("a"),
        subscribed("b"),
        event_of("b", 7, "3-0.3"),
        event_of("a", 1, "4-0.4"),
        r#"{"type":"degraded","stream":"a","since":"t"}"#.to_owned(),
    ];
    assert_eq!(told(&mut client, &more), subscribe("2-0.2", "now"));
    assert!(client.follows());
    assert_eq!(told(&mut client, &[]), subscribe("4-0.4", "3-0.3"));
    assert_eq!(client.tally, [0, 7, 1]);
}

#[test]
fn a_frame_of_a_tail_counts_when_it_is_whole() {
    let mut client = client(Dialect::Sse, &["a", "b"]);
    let open = |client: &mut Client| {
        let mut out = Vec::new();
        client.open("h", &mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(
        open(&mut client),
        "GET /v1/tail?stream=a&stream=b HTTP/1.1\r\nhost: h\r\naccept: text/event-stream\r\n\r\n"
    );
    let feed = |client: &mut Client, head: &str, body: &str| {
        let bytes = format!("{head}{:x}\r\n{body}\r\n", body.len());
        client.feed(bytes.as_bytes(), &mut Vec::new()).unwrap();
    };
    let head = "HTTP/1.1 200 OK\r\n\r\n";
    let frame = |id: &str, number| format!("id: {id}\ndata: {{\"data\":{}}}\n", event(number));
    feed(&mut client, head, "retry: 1000\nid: x\n\n: hb\n\n");
    feed(&mut client, "", &format!("{}\n{}", frame("y", 0), frame("z", 1)));
    assert_eq!(client.tally, [0]);
    assert!(open(&mut client).ends_with("\r\nlast-event-id: y\r\n\r\n"));
    let gap = "event: gap\nid: z\ndata: {\"stream\":\"a\",\"lost\":3,\"cursor\":\"z\"}\n\n";
    feed(&mut client, head, &format!("{gap}{}\n", frame("zz", 5)));
    assert_eq!((&client.tally[..], client.told_gone()), (&[0, 5][..], 3));
}

#[test]
fn another_history_is_an_error() {
    for notice in [
        r#"{"type":"reset","stream":"s","cursor":"1-0.1"}"#,
        r#"{"type":"error","code":"unavailable"}"#,
    ] {
        let mut client = client(Dialect::WebSocket, &["s"]);
        client.open("h", &mut Vec::new());
        let bytes = [SWITCHED, &from_server(notice)].concat();
        assert!(client.feed(&bytes, &mut Vec::new()).is_err(), "{notice}");
    }
}
