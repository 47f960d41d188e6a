#![allow(clippy::unwrap_used)]

use super::*;
use crate::websocket::testing::client_frame;
use proptest::prelude::*;

const MAX: usize = 1_000;

/// What comes out of `bytes` if they come in pieces that end at `cuts`, and how it ends.
fn decode(bytes: &[u8], cuts: &[usize]) -> (Vec<Incoming>, Option<Breach>) {
    let mut decoder = Decoder::new(MAX);
    let mut seen = Vec::new();
    let mut from = 0;
    for &to in cuts.iter().chain([&bytes.len()]) {
        let mut input = &bytes[from..to];
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(incoming)) => seen.push(incoming),
                Ok(None) => break,
                Err(breach) => return (seen, Some(breach)),
            }
        }
        assert!(input.is_empty());
        from = to;
    }
    (seen, None)
}

fn whole(bytes: &[u8]) -> (Vec<Incoming>, Option<Breach>) {
    decode(bytes, &[])
}

fn text(text: &'static str) -> Incoming {
    Incoming::Text(Bytes::from_static(text.as_bytes()))
}

const FIN: u8 = 0x80;

#[test]
fn messages_come_whole_in_pieces_and_with_control_frames_between_the_pieces() {
    let bytes = [
        client_frame(FIN | 1, "héllo".as_bytes()),
        client_frame(FIN | 2, &[]),
        // The cut goes through a character.
        client_frame(1, &"é€".as_bytes()[..3]),
        client_frame(FIN | 9, b"are you there"),
        client_frame(0, &[]),
        client_frame(FIN | 10, b""),
        client_frame(FIN, &"é€".as_bytes()[3..]),
        client_frame(FIN | 8, &[3, 232, b'o', b'k']),
        client_frame(FIN | 1, b"nobody hears this"),
    ]
    .concat();
    let expected = vec![
        text("héllo"),
        Incoming::Binary(Bytes::new()),
        Incoming::Ping(Bytes::from_static(b"are you there")),
        Incoming::Pong,
        text("é€"),
        Incoming::Close(Some(1000)),
    ];
    assert_eq!(whole(&bytes), (expected.clone(), None));
    for cut in 0..bytes.len() {
        assert_eq!(decode(&bytes, &[cut]), (expected.clone(), None), "cut at {cut}");
    }
    let every: Vec<usize> = (0..bytes.len()).collect();
    assert_eq!(decode(&bytes, &every), (expected, None));
}

#[test]
fn each_breach_is_found_in_every_split() {
    let long = vec![b'x'; MAX + 1];
    let piece = client_frame(2, &long[..600]);
    let rest = client_frame(0, &long[..401]);
    for (bytes, breach) in [
        (vec![0x81, 0x00], Breach::Protocol),
        (client_frame(FIN | 0x40 | 1, b"x"), Breach::Protocol),
        (client_frame(FIN | 3, b"x"), Breach::Protocol),
        (client_frame(FIN | 0xb, b"x"), Breach::Protocol),
        (client_frame(9, b"x"), Breach::Protocol),
        (client_frame(FIN | 9, &long[..126]), Breach::Protocol),
        (client_frame(FIN, b"x"), Breach::Protocol),
        (
            [client_frame(1, b"x"), client_frame(FIN | 2, b"x")].concat(),
            Breach::Protocol,
        ),
        (client_frame(FIN | 8, &[3]), Breach::Protocol),
        (client_frame(FIN | 8, &[3, 237]), Breach::Protocol),
        (client_frame(FIN | 8, &[3, 232, 0xff]), Breach::InvalidUtf8),
        (client_frame(FIN | 1, b"x\xffx"), Breach::InvalidUtf8),
        (client_frame(FIN | 1, &"é".as_bytes()[..1]), Breach::InvalidUtf8),
        // Half of a surrogate pair.
        (client_frame(FIN | 1, b"\xed\xa0\x80"), Breach::InvalidUtf8),
        // It is told before the message ends.
        (
            [client_frame(1, "é".as_bytes()), client_frame(0, b"\xc0")].concat(),
            Breach::InvalidUtf8,
        ),
        (client_frame(FIN | 2, &long), Breach::TooBig),
        ([piece, rest].concat(), Breach::TooBig),
        (
            vec![
                0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4,
            ],
            Breach::TooBig,
        ),
    ] {
        assert_eq!(whole(&bytes).1, Some(breach), "{bytes:?}");
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes, &[cut]).1, Some(breach), "{bytes:?} cut at {cut}");
        }
    }
    assert_eq!(whole(&client_frame(FIN | 2, &long[..MAX])).1, None);
}

#[test]
fn a_header_that_promises_much_costs_little() {
    let mut decoder = Decoder::new(1 << 30);
    let header = [0x82, 0xff, 0, 0, 0, 0, 0x3f, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5];
    assert_eq!(decoder.decode(&mut &header[..]), Ok(None));
    assert!(decoder.message.payload.capacity() <= FIRST_ROOM_BYTES);
}

#[test]
fn an_idle_decoder_holds_nothing_and_a_message_holds_no_more_than_itself() {
    let mut decoder = Decoder::new(MAX);
    let bytes = [
        client_frame(1, &[b'x'; 500]),
        client_frame(FIN, &[b'x'; 77]),
        client_frame(FIN | 10, b"x"),
    ]
    .concat();
    let mut input = &bytes[..];
    let Ok(Some(Incoming::Text(message))) = decoder.decode(&mut input) else {
        panic!("no text")
    };
    // What can be taken back without a copy is all there is.
    assert_eq!(message.try_into_mut().unwrap().capacity(), 577);
    assert_eq!(decoder.decode(&mut input), Ok(Some(Incoming::Pong)));
    assert_eq!(decoder.message.payload.capacity() + decoder.control.capacity(), 0);
}

#[derive(Debug, Clone)]
enum Sent {
    Message {
        text: bool,
        payload: Vec<u8>,
        cuts: Vec<usize>,
    },
    Ping(Vec<u8>),
}

fn sent() -> impl Strategy<Value = Sent> {
    let cuts = || prop::collection::vec(any::<usize>(), 0..4);
    prop_oneof![
        ("\\PC{0,60}", cuts()).prop_map(|(text, cuts)| Sent::Message {
            text: true,
            payload: text.into_bytes(),
            cuts
        }),
        (prop::collection::vec(any::<u8>(), 0..300), cuts()).prop_map(|(payload, cuts)| Sent::Message {
            text: false,
            payload,
            cuts
        }),
        prop::collection::vec(any::<u8>(), 0..126).prop_map(Sent::Ping),
    ]
}

/// The frames of what was sent; a ping stands between the pieces of every message that has some.
fn frames(sent: &[Sent]) -> (Vec<u8>, Vec<Incoming>) {
    let mut bytes = Vec::new();
    let mut expected = Vec::new();
    for sent in sent {
        match sent {
            Sent::Ping(payload) => {
                bytes.extend(client_frame(FIN | 9, payload));
                expected.push(Incoming::Ping(payload.clone().into()));
            }
            Sent::Message { text, payload, cuts } => {
                let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (payload.len() + 1)).collect();
                cuts.sort_unstable();
                let mut opcode = if *text { 1 } else { 2 };
                let mut from = 0;
                for to in cuts {
                    bytes.extend(client_frame(opcode, &payload[from..to]));
                    bytes.extend(client_frame(FIN | 9, b"between"));
                    expected.push(Incoming::Ping(Bytes::from_static(b"between")));
                    (opcode, from) = (0, to);
                }
                bytes.extend(client_frame(FIN | opcode, &payload[from..]));
                let payload = payload.clone().into();
                expected.push(if *text {
                    Incoming::Text(payload)
                } else {
                    Incoming::Binary(payload)
                });
            }
        }
    }
    (bytes, expected)
}

proptest! {
    #[test]
    fn what_was_sent_comes_out_however_it_is_cut(sent in prop::collection::vec(sent(), 0..6), cuts in prop::collection::vec(any::<usize>(), 0..8)) {
        let (bytes, expected) = frames(&sent);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        cuts.sort_unstable();
        prop_assert_eq!(decode(&bytes, &cuts), (expected, None));
    }

    #[test]
    fn any_bytes_mean_the_same_however_they_are_cut(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..40)), 0..6)
                .prop_map(|frames| frames.iter().flat_map(|(first, payload)| client_frame(*first, payload)).collect()),
        ],
        cuts in prop::collection::vec(any::<usize>(), 0..8),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        cuts.sort_unstable();
        prop_assert_eq!(decode(&bytes, &cuts), whole(&bytes));
    }
}
