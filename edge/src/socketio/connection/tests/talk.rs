//! Events and acknowledgements.

use bytes::Bytes;
use shared::wire::PlainEvent;

use super::client::{Client, Order, Seen};
use crate::socketio::{Answer, Incoming};

fn event(namespace: &str, array: &str, name: &str, ack: Option<u64>) -> Seen {
    let incoming = Incoming {
        array: Bytes::from(array.to_owned()),
        name: name.to_owned(),
        plain: PlainEvent::of(array),
        attachments: Vec::new(),
        ack,
    };
    Seen::Event(namespace.to_owned(), incoming)
}

#[tokio::test]
async fn events_reach_their_namespace_as_they_were_sent() {
    let mut client = Client::within(&["/", "/a"]);
    client.send(r#"2["message", 1,"2",{"3":[true]}]"#);
    client.send(r#"2/a,12["b\u0061"]"#);
    assert_eq!(
        client.seen(),
        [
            event("/", r#"["message", 1,"2",{"3":[true]}]"#, "message", None),
            event("/a", r#"["b\u0061"]"#, "ba", Some(12)),
        ]
    );
}

#[tokio::test]
async fn arguments_are_taken_one_by_one() {
    let incoming = Incoming {
        array: Bytes::from_static(br#"["a", 1 ,{"b":[2]} ]"#),
        name: "a".to_owned(),
        plain: None,
        attachments: Vec::new(),
        ack: None,
    };
    let arguments: Vec<Bytes> = incoming.arguments().collect();
    assert_eq!(arguments, [b"1".as_slice(), br#"{"b":[2]}"#]);
}

#[tokio::test]
async fn an_event_is_acknowledged_under_its_number() {
    let mut client = Client::within(&["/", "/a"]);
    client.state().acks.extend(["[1]", "[]"]);
    client.send(r#"2456["m"]"#);
    client.send(r#"2/a,0["m"]"#);
    assert_eq!(client.told(), ["3456[1]", "3/a,0[]"]);
}

#[tokio::test]
async fn an_event_is_emitted_in_parts() {
    let mut client = Client::within(&["/a"]);
    client.order("/a", Order::Emit(vec!["[\"e\",{}", ",\"offset\"", "]"], vec![]));
    assert_eq!(client.poll(), [r#"2/a,["e",{},"offset"]"#]);
}

#[tokio::test]
async fn a_client_answers_what_it_was_asked() {
    let mut client = Client::within(&["/", "/a"]);
    let mut told = Vec::new();
    for namespace in ["/", "/a"] {
        client.order(namespace, Order::EmitWithAck("[\"q\"]"));
        told.extend(client.poll());
    }
    let issued: Vec<u64> = client
        .seen()
        .into_iter()
        .map(|seen| match seen {
            Seen::Issued(id) => id,
            other => panic!("{other:?}"),
        })
        .collect();
    let [first, second] = issued[..] else {
        panic!("{issued:?}");
    };
    assert_ne!(first, second, "not even in another namespace");
    assert_eq!(told, [format!("2{first}[\"q\"]"), format!("2/a,{second}[\"q\"]")]);
    client.send(&format!(r#"3/a,{second}["yes"]"#));
    let answer = Answer {
        id: second,
        array: Bytes::from_static(br#"["yes"]"#),
        attachments: Vec::new(),
    };
    assert_eq!(client.seen(), [Seen::Answer("/a".to_owned(), answer)]);
}

#[tokio::test]
async fn namespaces_take_turns_in_fetching_for_the_client() {
    let mut client = Client::within(&["/", "/a", "/b"]);
    client.state().streams.extend(["/", "/a", "/b"]);
    let mut order = Vec::new();
    for _ in 0..6 {
        client.poll();
        let seen = client.seen();
        assert_eq!(seen.len(), 1, "one at a time");
        order.extend(seen);
    }
    let name = |name: &str| Seen::Writable(name.to_owned());
    for namespace in ["/", "/a", "/b"] {
        assert_eq!(
            order.iter().filter(|seen| **seen == name(namespace)).count(),
            2,
            "{order:?}"
        );
    }
    client.poll_as(false);
    assert_eq!(client.seen(), []);
}
