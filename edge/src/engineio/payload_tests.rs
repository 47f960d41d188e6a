#![allow(clippy::unwrap_used)]

use super::*;
use crate::engineio::{Message, Outbox};
use proptest::prelude::*;

fn packets(body: &[u8]) -> Vec<Result<Packet, NoPacket>> {
    let mut payload = Payload::new(Bytes::copy_from_slice(body)).unwrap();
    std::iter::from_fn(|| payload.next()).collect()
}

fn text(text: &str) -> Result<Packet, NoPacket> {
    Ok(Packet::Message(Message::Text(Bytes::copy_from_slice(
        text.as_bytes(),
    ))))
}

fn binary(bytes: &[u8]) -> Result<Packet, NoPacket> {
    Ok(Packet::of_binary(Bytes::copy_from_slice(bytes)))
}

#[test]
fn the_examples_of_the_specification() {
    assert_eq!(
        packets(b"4hello\x1e2\x1e4world"),
        [text("hello"), Ok(Packet::Ping { probe: false }), text("world")]
    );
    assert_eq!(
        packets(b"4hello\x1ebAQIDBA=="),
        [text("hello"), binary(&[1, 2, 3, 4])]
    );
    let mut outbox = Outbox::default();
    outbox.text(&[b"hel", b"", b"lo"]);
    outbox.binary(&[1, 2, 3, 4]);
    assert_eq!(take(outbox.frames(), 1_000), b"4hello\x1ebAQIDBA==");
}

#[test]
fn each_type_of_packet() {
    assert_eq!(
        packets(b"1\x1e2probe\x1e3\x1e3x\x1e4\x1e5\x1e6\x1e0{}"),
        [
            Ok(Packet::Close),
            Ok(Packet::Ping { probe: true }),
            Ok(Packet::Pong),
            Ok(Packet::Pong),
            text(""),
            Ok(Packet::Upgrade),
            Ok(Packet::Nothing),
            Ok(Packet::Nothing)
        ]
    );
    for broken in ["", "a", "7", "\x1e", "4x\x1e", "b?", "bA", "abc", "é"] {
        assert!(packets(broken.as_bytes()).contains(&Err(NoPacket)), "{broken:?}");
    }
    assert!(Payload::new(Bytes::from_static(b"4\xff")).is_err());
    // With or without padding, and nothing at all.
    assert_eq!(packets(b"bAQIDBA\x1eb"), [binary(&[1, 2, 3, 4]), binary(&[])]);
}

#[test]
fn a_small_message_does_not_hold_on_to_a_large_body() {
    let body = [b"4small\x1e4".to_vec(), vec![b'x'; 10_000]].concat();
    let mut payload = Payload::new(body.into()).unwrap();
    let Some(Ok(Packet::Message(Message::Text(small)))) = payload.next() else {
        panic!("no text")
    };
    drop(payload);
    // The type of the packet is still in front of it.
    assert!(small.is_unique() && small.len() == 5);
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        "[^\u{1e}]{0,20}".prop_map(|text| Message::Text(text.into())),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Message::Binary(bytes.into())),
    ]
}

proptest! {
    #[test]
    fn what_is_sent_in_payloads_arrives_in_order_and_within_the_limit(
        messages in prop::collection::vec(message(), 0..20), bytes_max in 1usize..200
    ) {
        let mut outbox = Outbox::default();
        for message in &messages {
            match message {
                Message::Text(text) => outbox.text(&[text]),
                Message::Binary(bytes) => outbox.binary(bytes),
            }
        }
        let mut arrived = Vec::new();
        while !outbox.is_empty() {
            let body = take(outbox.frames(), bytes_max);
            let packets = packets(&body);
            prop_assert!(body.len() <= bytes_max || packets.len() == 1);
            for packet in packets {
                let Ok(Packet::Message(message)) = packet else {
                    return Err(TestCaseError::fail("no message"));
                };
                arrived.push(message);
            }
        }
        prop_assert_eq!(arrived, messages);
    }

    #[test]
    fn any_text_is_taken_apart_without_a_loss(body in "[0-9b\u{1e}AQ=é]{0,40}") {
        let seen = packets(body.as_bytes());
        prop_assert_eq!(seen.len(), body.split('\u{1e}').count());
    }
}
