//! Attachments.

use bytes::Bytes;

use super::client::{Client, Order, Seen};
use crate::socketio::{Answer, Incoming};

const TWO: &str = r#"["m",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;

#[tokio::test]
async fn an_event_waits_for_its_attachments_and_is_acknowledged_with_binary() {
    let mut client = Client::within(&["/a"]);
    client.state().acks.push_back(TWO);
    client.send(&format!("52-/a,789{TWO}"));
    client.send_binary(&[1, 2, 3]);
    assert_eq!(client.seen(), []);
    client.send_binary(&[]);
    let incoming = Incoming {
        array: Bytes::from(TWO),
        name: "m".to_owned(),
        plain: None,
        attachments: vec![Bytes::from_static(&[1, 2, 3]), Bytes::new()],
        ack: Some(789),
    };
    assert_eq!(client.seen(), [Seen::Event("/a".to_owned(), incoming)]);
    assert_eq!(
        client.told(),
        [format!("62-/a,789{TWO}"), "b010203".to_owned(), "b".to_owned()]
    );
    client.send("2/a,[\"text\"]");
    assert_eq!(client.seen().len(), 1, "text again");
}

#[tokio::test]
async fn an_answer_may_be_binary() {
    let mut client = Client::within(&["/"]);
    client.send(r#"61-5[{"_placeholder":true,"num":0}]"#);
    client.send_binary(b"x");
    let answer = Answer {
        id: 5,
        array: Bytes::from_static(br#"[{"_placeholder":true,"num":0}]"#),
        attachments: vec![Bytes::from_static(b"x")],
    };
    assert_eq!(client.seen(), [Seen::Answer("/".to_owned(), answer)]);
}

#[tokio::test]
async fn an_event_is_emitted_with_attachments_and_not_with_more_than_clients_take() {
    let mut client = Client::within(&["/"]);
    client.order("/", Order::Emit(vec![TWO], vec![b"\x01", b"\x02"]));
    assert_eq!(
        client.poll(),
        [format!("52-{TWO}"), "b01".to_owned(), "b02".to_owned()]
    );
    client.order("/", Order::Emit(vec!["[\"m\"]"], vec![b""; 11]));
    assert_eq!(client.poll(), [""; 0]);
}

#[tokio::test]
async fn text_is_not_taken_for_an_attachment_and_binary_not_for_a_packet() {
    let mut client = Client::within(&["/"]);
    client.send(&format!("52-{TWO}"));
    client.send_binary(b"x");
    client.send("2[\"a\"]");
    assert!(client.is_closing());
    assert_eq!(client.seen(), []);

    let mut client = Client::within(&["/"]);
    client.send_binary(b"x");
    assert!(client.is_closing());

    let mut client = Client::within(&["/"]);
    client.send(&format!("52-{TWO}"));
    client.send_binary(b"x");
    client.send_binary(b"y");
    assert_eq!(client.seen().len(), 1);
    client.send_binary(b"z");
    assert!(client.is_closing(), "one too many");
}
