//! Packets of Engine.IO v4 and how they are written: over WebSocket one a message, over polling joined to a payload.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::client::invalid;

/// Between the packets of a payload.
const SEPARATOR: u8 = 0x1e;

/// A message: what Engine.IO carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Valid UTF-8.
    Text(Bytes),
    /// Any bytes.
    Binary(Bytes),
}

/// A packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Packet {
    Open(Bytes),
    Close,
    Ping(Bytes),
    Pong(Bytes),
    Message(Message),
    Upgrade,
    Noop,
}

impl Packet {
    /// A packet of a text message or of one part of a payload.
    pub(crate) fn of_text(text: &Bytes) -> io::Result<Self> {
        let data = || text.slice(1..);
        match text.first() {
            Some(b'0') => Ok(Self::Open(data())),
            Some(b'1') => Ok(Self::Close),
            Some(b'2') => Ok(Self::Ping(data())),
            Some(b'3') => Ok(Self::Pong(data())),
            Some(b'4') => Ok(Self::Message(Message::Text(data()))),
            Some(b'5') => Ok(Self::Upgrade),
            Some(b'6') => Ok(Self::Noop),
            Some(b'b') => {
                let bytes = STANDARD
                    .decode(data())
                    .map_err(|_| invalid("base64 of a packet"))?;
                Ok(Self::Message(Message::Binary(bytes.into())))
            }
            _ => Err(invalid("type of a packet")),
        }
    }

    /// The packets of a payload.
    pub(crate) fn of_payload(payload: &Bytes) -> io::Result<Vec<Self>> {
        if std::str::from_utf8(payload).is_err() {
            return Err(invalid("a payload that is no UTF-8"));
        }
        let (mut packets, mut at) = (Vec::new(), 0);
        for end in memchr::memchr_iter(SEPARATOR, payload).chain([payload.len()]) {
            packets.push(Self::of_text(&payload.slice(at..end))?);
            at = end + 1;
        }
        Ok(packets)
    }

    /// Its text; `None` for a binary message, which over WebSocket has no text.
    pub(crate) fn text(&self) -> Option<Vec<u8>> {
        let with = |kind: u8, data: &[u8]| {
            let mut text = Vec::with_capacity(1 + data.len());
            text.push(kind);
            text.extend_from_slice(data);
            Some(text)
        };
        match self {
            Self::Open(data) => with(b'0', data),
            Self::Close => with(b'1', b""),
            Self::Ping(data) => with(b'2', data),
            Self::Pong(data) => with(b'3', data),
            Self::Message(Message::Text(data)) => with(b'4', data),
            Self::Message(Message::Binary(_)) => None,
            Self::Upgrade => with(b'5', b""),
            Self::Noop => with(b'6', b""),
        }
    }

    /// Takes packets off the front of `packets`, as many as fit into a payload of `bytes_max`, but at least one.
    pub(crate) fn payload(
        packets: &mut std::collections::VecDeque<Self>,
        bytes_max: usize,
    ) -> Option<Vec<u8>> {
        let mut payload = packets.pop_front()?.part();
        while let Some(packet) = packets.front() {
            let part = packet.part();
            if payload.len() + 1 + part.len() > bytes_max {
                break;
            }
            payload.push(SEPARATOR);
            payload.extend_from_slice(&part);
            packets.pop_front();
        }
        Some(payload)
    }

    fn part(&self) -> Vec<u8> {
        match self {
            Self::Message(Message::Binary(bytes)) => format!("b{}", STANDARD.encode(bytes)).into_bytes(),
            other => other.text().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    fn packets() -> Vec<Packet> {
        vec![
            Packet::Message(Message::Text("2[\"ä\"]".into())),
            Packet::Message(Message::Binary(Bytes::from_static(&[0, 1, 0x1e, 255]))),
            Packet::Ping("probe".into()),
            Packet::Pong(Bytes::new()),
            Packet::Close,
            Packet::Upgrade,
            Packet::Noop,
            Packet::Open("{}".into()),
        ]
    }

    #[test]
    fn a_payload_says_what_was_put_into_it() {
        let mut queue: VecDeque<_> = packets().into();
        let payload = Packet::payload(&mut queue, usize::MAX).unwrap();
        assert!(queue.is_empty());
        assert_eq!(Packet::of_payload(&payload.into()).unwrap(), packets());
    }

    #[test]
    fn a_payload_keeps_to_its_bound_but_holds_at_least_one_packet() {
        let mut queue: VecDeque<_> = packets().into();
        let mut all = Vec::new();
        while let Some(payload) = Packet::payload(&mut queue, 12) {
            let packets = Packet::of_payload(&payload.clone().into()).unwrap();
            assert!(payload.len() <= 12 || packets.len() == 1);
            all.extend(packets);
        }
        assert_eq!(all, packets());
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        for payload in ["", "x", "4a\u{1e}", "b!", "7"] {
            assert!(
                Packet::of_payload(&Bytes::from_static(payload.as_bytes())).is_err(),
                "{payload:?}"
            );
        }
    }
}
