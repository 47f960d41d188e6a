//! Writing packets.

use std::io::Write as _;

use bytes::Bytes;
use smallvec::SmallVec;

use super::Kind;
use crate::engineio::Outbox;
use crate::socketio::AckId;

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
    /// Puts the packet and its attachments into `out`; returns how many bytes they have.
    pub(crate) fn write(&self, payload: &[&[u8]], attachments: &[Bytes], out: &mut Outbox) -> usize {
        let mut bytes = self.with_parts(payload, |parts| {
            out.text(parts);
            parts.iter().map(|part| part.len()).sum()
        });
        for attachment in attachments {
            out.binary(attachment);
            bytes += attachment.len();
        }
        bytes
    }

    /// Hands the whole packet to `take`, in parts, so that the payload is copied only where it is going to stay.
    pub(crate) fn with_parts<R>(&self, payload: &[&[u8]], take: impl FnOnce(&[&[u8]]) -> R) -> R {
        let mut numbers = [0; 48];
        let mut rest = numbers.as_mut_slice();
        // One digit, and two numbers of at most twenty digits: there is room, so this has no way to fail.
        let _ = write!(rest, "{}", self.digit());
        if self.attachments > 0 {
            let _ = write!(rest, "{}-", self.attachments);
        }
        let type_len = 48 - rest.len();
        if let Some(id) = self.ack {
            let _ = write!(rest, "{id}");
        }
        let len = 48 - rest.len();
        let mut parts: SmallVec<[&[u8]; 8]> = SmallVec::new();
        parts.push(&numbers[..type_len]);
        if self.namespace != "/" {
            parts.push(self.namespace.as_bytes());
            parts.push(b",");
        }
        parts.push(&numbers[type_len..len]);
        parts.extend_from_slice(payload);
        take(&parts)
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

    fn text(
        kind: Kind,
        attachments: usize,
        namespace: &str,
        ack: Option<AckId>,
        payload: &[&[u8]],
    ) -> String {
        let head = Head {
            kind,
            attachments,
            namespace,
            ack,
        };
        String::from_utf8(head.with_parts(payload, |parts| parts.concat())).unwrap()
    }

    #[test]
    fn every_type_of_packet_is_written_as_the_protocol_says() {
        assert_eq!(
            text(Kind::Connect, 0, "/", None, &[b"{\"sid\":\"a\"}"]),
            r#"0{"sid":"a"}"#
        );
        assert_eq!(text(Kind::Connect, 0, "/b", None, &[]), "0/b,");
        assert_eq!(text(Kind::Disconnect, 0, "/", None, &[]), "1");
        assert_eq!(text(Kind::Event, 0, "/", None, &[b"[\"a\"", b"]"]), r#"2["a"]"#);
        assert_eq!(
            text(Kind::Event, 0, "/b", Some(12), &[b"[\"a\"]"]),
            r#"2/b,12["a"]"#
        );
        assert_eq!(text(Kind::Ack, 0, "/", Some(0), &[b"[]"]), "30[]");
        assert_eq!(text(Kind::ConnectError, 0, "/x", None, &[b"{}"]), "4/x,{}");
        assert_eq!(text(Kind::Event, 2, "/", Some(7), &[b"[]"]), "52-7[]");
        assert_eq!(
            text(Kind::Ack, 10, "/b", Some(u64::MAX), &[b"[]"]),
            "610-/b,18446744073709551615[]"
        );
    }

    #[test]
    fn attachments_follow_their_packet() {
        let mut out = Outbox::default();
        let head = Head {
            kind: Kind::Event,
            attachments: 1,
            namespace: "/",
            ack: None,
        };
        assert_eq!(head.write(&[b"[]"], &[Bytes::from_static(b"abc")], &mut out), 8);
        let messages = out.take();
        assert_eq!(messages.len(), 2);
    }
}
