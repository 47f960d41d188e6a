//! The record of a session: what another edge needs to go on with it. MessagePack, with room to grow: keys that are
//! not known are passed over.
//!
//! `{"v":1,"sid","ns","user"?,"next","subs":[{"n","s","c","e"?,"m"?}]}`

use broker::{Filter, FilterError};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use shared::{Cursor, StreamName};

/// The form of records that this edge writes.
const VERSION: u8 = 1;

/// What another edge needs to go on with a session. Where its client stands is not in it: that says the client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    #[serde(rename = "v")]
    version: u8,
    /// What the client calls the socket's `id`.
    pub(crate) sid: String,
    /// The namespace.
    #[serde(rename = "ns")]
    pub(crate) namespace: String,
    /// Who the client is, as far as the edge knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    /// The number of the subscription that is made next.
    #[serde(rename = "next")]
    pub(crate) next_number: u64,
    /// What is followed.
    #[serde(rename = "subs")]
    pub(crate) subscriptions: Vec<RecordedSubscription>,
}

/// A stream that is followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecordedSubscription {
    /// Names the subscription within the session, for ever.
    #[serde(rename = "n")]
    pub(crate) number: u64,
    /// Which stream.
    #[serde(rename = "s")]
    pub(crate) stream: StreamName,
    /// Where it began.
    #[serde(rename = "c", with = "cursor_text")]
    pub(crate) start: Cursor,
    /// Which of its events.
    #[serde(flatten)]
    pub(crate) filter: FilterText,
}

/// A filter as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct FilterText {
    /// Only events of these names; none: of all.
    #[serde(rename = "e", default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) events: Vec<String>,
    /// Only events whose raw data match this expression.
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    pub(crate) pattern: Option<String>,
}

impl FilterText {
    /// The filter, unless its expression cannot be compiled.
    pub(crate) fn compile(&self) -> Result<Filter, FilterError> {
        Filter::new(self.events.clone(), self.pattern.as_deref())
    }
}

impl Record {
    /// A record of the current form.
    pub(crate) fn new(
        sid: &str,
        namespace: &str,
        next_number: u64,
        subscriptions: Vec<RecordedSubscription>,
    ) -> Self {
        Self {
            version: VERSION,
            sid: sid.to_owned(),
            namespace: namespace.to_owned(),
            user: None,
            next_number,
            subscriptions,
        }
    }

    /// The record as it is stored.
    pub(crate) fn encode(&self) -> Bytes {
        // A record is a map of texts and numbers, which MessagePack can say.
        Bytes::from(rmp_serde::to_vec_named(self).unwrap_or_default())
    }

    /// Reads a stored record; `None` if it is none, or of a form that this edge does not know.
    pub(crate) fn decode(stored: &[u8]) -> Option<Self> {
        let record: Self = rmp_serde::from_slice(stored).ok()?;
        let known = record.version == VERSION;
        let below_next = |subscription: &RecordedSubscription| subscription.number < record.next_number;
        (known && record.subscriptions.iter().all(below_next)).then_some(record)
    }
}

/// A cursor as its text, which is what clients see of it too.
mod cursor_text {
    use serde::{Deserialize as _, Deserializer, Serializer};
    use shared::Cursor;

    pub(super) fn serialize<S: Serializer>(cursor: &Cursor, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(cursor)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cursor, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use shared::limits::{SESSION_RECORD_BYTES_MAX, SIO_FILTER_BYTES_MAX, STREAMS_PER_CURSOR_MAX};
    use shared::{EntryId, Ordinal};

    use super::*;

    #[test]
    fn a_record_of_a_later_edge_is_read_as_far_as_it_is_known() {
        let later = serde_json::json!({"v": 1, "sid": "s", "ns": "/", "next": 2, "colour": [1, {"a": "b"}],
            "subs": [{"n": 1, "s": "doc:1", "c": "7-0.3", "w": 9}]});
        let record = Record::decode(&rmp_serde::to_vec_named(&later).unwrap()).unwrap();
        assert_eq!(record.subscriptions[0].start, Cursor::new(EntryId::new(7, 0), 3));
        let mut other = later.clone();
        other["v"] = 2.into();
        assert_eq!(Record::decode(&rmp_serde::to_vec_named(&other).unwrap()), None);
        let mut reused = later;
        reused["next"] = 1.into();
        assert_eq!(Record::decode(&rmp_serde::to_vec_named(&reused).unwrap()), None);
        assert_eq!(Record::decode(b""), None);
    }

    #[test]
    fn the_largest_record_has_room() {
        let stream = "x".repeat(200);
        let subscription = |number| RecordedSubscription {
            number,
            stream: stream.parse().unwrap(),
            start: Cursor::new(EntryId::MAX, u64::MAX),
            filter: FilterText {
                events: vec!["e".to_owned(); SIO_FILTER_BYTES_MAX / 4],
                pattern: Some("p".repeat(SIO_FILTER_BYTES_MAX / 2)),
            },
        };
        let subscriptions = (0..STREAMS_PER_CURSOR_MAX as u64).map(subscription).collect();
        let record = Record::new(&"s".repeat(20), &"n".repeat(200), u64::MAX, subscriptions);
        assert!(
            record.encode().len() < SESSION_RECORD_BYTES_MAX,
            "{}",
            record.encode().len()
        );
    }

    fn subscription() -> impl Strategy<Value = RecordedSubscription> {
        let cursor = (any::<u64>(), any::<u64>(), any::<Option<u64>>());
        let filter = (prop::collection::vec(".{0,8}", 0..3), prop::option::of(".{0,8}"));
        (0..100u64, "[a-z:]{1,20}", cursor, filter).prop_map(
            |(number, stream, (ms, seq, ordinal), (events, pattern))| RecordedSubscription {
                number,
                stream: stream.parse().unwrap(),
                start: Cursor {
                    id: EntryId::new(ms, seq),
                    ordinal: ordinal.map(Ordinal),
                },
                filter: FilterText { events, pattern },
            },
        )
    }

    proptest! {
        #[test]
        fn records_read_as_they_were_written(
            sid in "[A-Za-z0-9_-]{20}",
            namespace in "/[^,?]{0,10}",
            user in prop::option::of(".{0,10}"),
            subscriptions in prop::collection::vec(subscription(), 0..5),
        ) {
            let record = Record { user, ..Record::new(&sid, &namespace, 100, subscriptions) };
            prop_assert_eq!(Record::decode(&record.encode()), Some(record));
        }

        #[test]
        fn no_bytes_make_it_fall_over(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = Record::decode(&bytes);
        }
    }
}
