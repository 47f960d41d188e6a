//! Writing packets.

use std::io::Write as _;

use bytes::Bytes;
use smallvec::SmallVec;

use super::Kind;
use crate::engineio::{Outbox, Piece};
use crate::socketio::AckId;

/// One digit, two numbers of at most twenty digits, and a dash.
const NUMBERS_BYTES: usize = 42;

/// Everything of a packet but its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    /// What it says.
    pub(crate) kind: Kind,
    /// How many binary messages follow.
    pub(crate) attachments: usize,
    /// The namespace.
    pub(crate) namespace: &'a str,
    /// The number of the acknowledgement that is asked for or given.
    pub(crate) ack: Option<AckId>,
}

impl Head<'_> {
    /// Puts the packet and its attachments into `out`; returns how many bytes that makes.
    pub(crate) fn write(&self, payload: &[Piece<'_>], attachments: &[Bytes], out: &mut Outbox) -> usize {
        let before = out.bytes();
        let mut numbers = [0; NUMBERS_BYTES];
        let (kind, ack) = self.numbers(&mut numbers);
        let mut pieces: SmallVec<[Piece<'_>; 8]> = SmallVec::new();
        pieces.push(Piece::Copied(kind));
        if self.namespace != "/" {
            pieces.extend([Piece::Copied(self.namespace.as_bytes()), Piece::Copied(b",")]);
        }
        pieces.push(Piece::Copied(ack));
        pieces.extend_from_slice(payload);
        out.text_of(&pieces);
        for attachment in attachments {
            out.binary_shared(attachment);
        }
        out.bytes() - before
    }

    /// What stands before the namespace, and the number behind it.
    fn numbers<'a>(&self, room: &'a mut [u8; NUMBERS_BYTES]) -> (&'a [u8], &'a [u8]) {
        let mut rest = room.as_mut_slice();
        // There is room, so this has no way to fail.
        let _ = write!(rest, "{}", self.digit());
        if self.attachments > 0 {
            let _ = write!(rest, "{}-", self.attachments);
        }
        let kind_len = NUMBERS_BYTES - rest.len();
        if let Some(id) = self.ack {
            let _ = write!(rest, "{id}");
        }
        let len = NUMBERS_BYTES - rest.len();
        room[..len].split_at(kind_len)
    }

    /// The packet as a text of its own.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn text(&self, payload: &[u8]) -> Bytes {
        let mut out = Outbox::default();
        self.write(&[Piece::Copied(payload)], &[], &mut out);
        match out.take().pop() {
            Some(crate::engineio::Message::Text(text)) => text,
            other => panic!("a packet is a text, not {other:?}"),
        }
    }

    fn digit(&self) -> u8 {
        match (self.kind, self.attachments) {
            (Kind::Connect, _) => 0,
            (Kind::Disconnect, _) => 1,
            (Kind::Event, 0) => 2,
            (Kind::Ack, 0) => 3,
            (Kind::ConnectError, _) => 4,
            (Kind::Event, _) => 5,
            (Kind::Ack, _) => 6,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::engineio::Message;

    fn text(kind: Kind, attachments: usize, namespace: &str, ack: Option<AckId>, payload: &str) -> String {
        let head = Head {
            kind,
            attachments,
            namespace,
            ack,
        };
        String::from_utf8(head.text(payload.as_bytes()).to_vec()).unwrap()
    }

    #[test]
    fn every_type_of_packet_is_written_as_the_protocol_says() {
        assert_eq!(
            text(Kind::Connect, 0, "/", None, r#"{"sid":"a"}"#),
            r#"0{"sid":"a"}"#
        );
        assert_eq!(text(Kind::Connect, 0, "/b", None, ""), "0/b,");
        assert_eq!(text(Kind::Disconnect, 0, "/", None, ""), "1");
        assert_eq!(text(Kind::Event, 0, "/", None, r#"["a"]"#), r#"2["a"]"#);
        assert_eq!(text(Kind::Event, 0, "/b", Some(12), r#"["a"]"#), r#"2/b,12["a"]"#);
        assert_eq!(text(Kind::Ack, 0, "/", Some(0), "[]"), "30[]");
        assert_eq!(text(Kind::ConnectError, 0, "/x", None, "{}"), "4/x,{}");
        assert_eq!(text(Kind::Event, 2, "/", Some(7), "[]"), "52-7[]");
        assert_eq!(
            text(Kind::Ack, 10, "/b", Some(u64::MAX), "[]"),
            "610-/b,18446744073709551615[]"
        );
        let longest = text(Kind::Ack, usize::MAX, "/b", Some(u64::MAX), "[]");
        assert_eq!(longest, "618446744073709551615-/b,18446744073709551615[]");
    }

    #[test]
    fn attachments_follow_their_packet() {
        let mut out = Outbox::default();
        let head = Head {
            kind: Kind::Event,
            attachments: 2,
            namespace: "/",
            ack: None,
        };
        let large = Bytes::from(vec![b'x'; 100_000]);
        let payload = [
            Piece::Copied(b"[\""),
            Piece::Shared(&large),
            Piece::Copied(b"\"]"),
        ];
        let bytes = head.write(&payload, &[Bytes::from_static(b"abc"), large.clone()], &mut out);
        assert_eq!(bytes, out.bytes());
        let whole = [b"52-[\"".as_slice(), &large, b"\"]"].concat();
        assert_eq!(
            out.take(),
            [
                Message::Text(whole.into()),
                Message::Binary(Bytes::from_static(b"abc")),
                Message::Binary(large),
            ]
        );
    }
}
