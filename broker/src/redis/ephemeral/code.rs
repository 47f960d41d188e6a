//! An ephemeral event on its way between edges: `weir:{doc:1}:ephemeral` is the channel, and the payload is a version
//! byte, then the fields of the event as [`shared::fields`] has them, each as one byte of name, four bytes of length
//! (big endian), and the value.

use bytes::{Buf, Bytes};
use shared::limits::EPHEMERAL_BYTES_MAX;
use shared::{Event, StreamName, fields};

use super::super::keys::KeyTemplate;

/// The version of this encoding. Payloads of another one are passed over: edges may be of different age.
const VERSION: u8 = 1;
/// Bytes before the value of a field.
const HEAD_BYTES: usize = 5;
/// Fields that an event can have.
const FIELDS_MAX: usize = 7;

/// The channel of a stream's ephemeral events, in the slot of the stream.
pub(super) fn channel(keys: &KeyTemplate, stream: &StreamName) -> String {
    keys.beside(stream) + "ephemeral"
}

/// The payload for an event.
pub(super) fn encode(event: &Event) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + FIELDS_MAX * (HEAD_BYTES + 1) + event.size_bytes());
    out.push(VERSION);
    fields::encode(event, |name, value| {
        // Events are far below 4 GiB.
        let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(value);
    });
    out
}

/// The event of a payload, without a copy of its parts; `None` if it is not one that this edge understands.
pub(super) fn decode(mut payload: Bytes) -> Option<Event> {
    if payload.len() > 1 + EPHEMERAL_BYTES_MAX + FIELDS_MAX * (HEAD_BYTES + 1)
        || payload.try_get_u8().ok()? != VERSION
    {
        return None;
    }
    let mut pairs = Vec::with_capacity(FIELDS_MAX);
    while !payload.is_empty() {
        if pairs.len() == FIELDS_MAX || payload.len() < HEAD_BYTES {
            return None;
        }
        let name = payload.split_to(1);
        let length = usize::try_from(payload.try_get_u32().ok()?).ok()?;
        if payload.len() < length {
            return None;
        }
        pairs.push((name, payload.split_to(length)));
    }
    // Without data it is no event of ours.
    pairs
        .iter()
        .any(|(name, _)| name == "d")
        .then(|| fields::decode(&pairs))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::option;
    use proptest::prelude::*;
    use shared::{Payload, Text, wire};

    use super::*;

    fn payload() -> impl Strategy<Value = Payload> {
        prop_oneof![
            any::<String>().prop_map(|text| Payload::Json(wire::json_string(&text))),
            Just(Payload::Json(Bytes::from_static(b"[1,{\"a\":[]}]"))),
            Just(Payload::MessagePack(Bytes::from_static(b"\x92\x01\xc4\x01\xff"))),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Payload::Bytes(bytes.into())),
        ]
    }

    fn event() -> impl Strategy<Value = Event> {
        let text = || option::of("[^\u{0}]{1,20}".prop_map(Text::from));
        (text(), payload(), any::<bool>(), text(), text(), text()).prop_map(
            |(name, data, spread, user, session, trace)| Event {
                name,
                spread: spread && data.is_array(),
                data,
                user,
                session,
                trace,
            },
        )
    }

    proptest! {
        #[test]
        fn events_are_read_back(event in event()) {
            prop_assert_eq!(decode(encode(&event).into()), Some(event));
        }

        #[test]
        fn whatever_is_published_is_an_event_or_nothing(
            version in prop_oneof![Just(VERSION), any::<u8>()], noise in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let payload = [&[version][..], &noise].concat();
            if let Some(event) = decode(payload.into()) {
                prop_assert_eq!(version, VERSION);
                prop_assert_eq!(decode(encode(&event).into()), Some(event));
            }
        }

        #[test]
        fn a_payload_that_was_cut_is_nothing(event in event(), cut in any::<prop::sample::Index>()) {
            let whole = Bytes::from(encode(&event));
            let read = decode(whole.slice(..cut.index(whole.len())));
            // Cut between two fields it lacks the data, which stand last.
            prop_assert_eq!(read, None);
        }
    }

    #[test]
    fn the_largest_event_is_read_and_a_larger_one_is_not() {
        let sized = |bytes| encode(&Event::new(Payload::Bytes(vec![0; bytes].into())));
        assert!(decode(sized(EPHEMERAL_BYTES_MAX).into()).is_some());
        assert!(decode(sized(2 * EPHEMERAL_BYTES_MAX).into()).is_none());
    }

    #[test]
    fn the_channel_lies_in_the_slot_of_its_stream() {
        let keys = KeyTemplate::parse("weir:{NAME}").unwrap();
        assert_eq!(
            channel(&keys, &"doc:1".parse().unwrap()),
            "weir:{doc:1}:ephemeral"
        );
    }
}
