//! An event as publishers send it: `{"event"?, "data", "key"?, "durability"?}`.
//!
//! The data are kept as the raw slice of the input: checked to be one JSON value, never taken apart and written
//! anew.

use std::borrow::Cow;
use std::fmt;

use broker::{Durability, IdempotencyKey, NewEvent};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;
use shared::limits::EVENT_NAME_BYTES_MAX;
use shared::{Event, Text, wire};

use crate::error::{ApiError, Code};

/// Text that is borrowed from the input where it holds no escapes.
struct Borrowed<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Borrowed<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Borrowed<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Borrowed(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Borrowed(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// By hand, because a derived one would read `[event, data, key]` too.
struct Fields<'a> {
    event: Option<Borrowed<'a>>,
    data: &'a RawValue,
    key: Option<Borrowed<'a>>,
    durability: Option<Borrowed<'a>>,
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object {\"event\"?, \"data\", \"key\"?, \"durability\"?}")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let (mut event, mut data, mut key, mut durability) = (None, None, None, None);
                while let Some(name) = map.next_key::<Borrowed<'de>>()? {
                    match &*name.0 {
                        "event" => once("event", &mut event, map.next_value()?)?,
                        "data" => once("data", &mut data, map.next_value()?)?,
                        "key" => once("key", &mut key, map.next_value()?)?,
                        "durability" => once("durability", &mut durability, map.next_value()?)?,
                        other => {
                            let known = &["event", "data", "key", "durability"];
                            return Err(A::Error::unknown_field(other, known));
                        }
                    }
                }
                Ok(Fields {
                    event: event.flatten(),
                    data: data.ok_or_else(|| A::Error::missing_field("data"))?,
                    key: key.flatten(),
                    durability: durability.flatten(),
                })
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

fn once<T, E: serde::de::Error>(name: &'static str, slot: &mut Option<T>, value: T) -> Result<(), E> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::duplicate_field(name)),
    }
}

/// Reads one event from `text`. The data are a slice of `text`, which therefore lives as long as the event does:
/// hand in memory that holds little else.
pub(crate) fn parse(text: &Bytes, trace: Option<&Text>) -> Result<NewEvent, ApiError> {
    let fields: Fields<'_> = serde_json::from_slice(text).map_err(|e| explain(&e))?;
    // The grammar alone lets through what common parsers refuse; what counts as data is decided in one place.
    let raw = text.slice_ref(fields.data.get().as_bytes());
    let data =
        wire::payload_of_json(raw).map_err(|e| ApiError::new(Code::InvalidEvent, format!("data: {e}")))?;
    let name = fields.event.map(|name| name.0);
    if let Some(name) = &name {
        check_event_name(name)?;
    }
    let key: Option<IdempotencyKey> = fields.key.map(|key| key.0.parse()).transpose()?;
    let durability: Option<Durability> = fields.durability.map(|text| text.0.parse()).transpose()?;
    Ok(NewEvent {
        event: Event {
            name: name.map(|name| shared_text(text, name)),
            data,
            spread: false,
            user: None,
            session: None,
            trace: trace.cloned(),
        },
        key,
        durability,
    })
}

/// An empty name is none, and whoever gives one means something else.
pub(crate) fn check_event_name(name: &str) -> Result<(), ApiError> {
    let problem = match name.len() {
        1..=EVENT_NAME_BYTES_MAX => return Ok(()),
        0 => "event: the name is empty; leave \"event\" out for an event without a name".to_owned(),
        bytes => format!("event: a name has at most {EVENT_NAME_BYTES_MAX} bytes, this one has {bytes}"),
    };
    Err(ApiError::new(Code::InvalidEvent, problem))
}

/// A slice of the input where it stands there as it is.
fn shared_text(input: &Bytes, text: Cow<'_, str>) -> Text {
    match text {
        Cow::Borrowed(text) => Text::from_bytes_lossy(input.slice_ref(text.as_bytes())),
        Cow::Owned(text) => Text::from(text),
    }
}

fn explain(error: &serde_json::Error) -> ApiError {
    let code = match error.classify() {
        Category::Data => Code::InvalidEvent,
        Category::Io | Category::Syntax | Category::Eof => Code::InvalidJson,
    };
    ApiError::new(code, error.to_string())
}

#[cfg(test)]
mod tests {
    use shared::Payload;
    use shared::limits::DATA_DEPTH_MAX;

    use super::*;

    fn parsed(text: &str) -> Result<NewEvent, ApiError> {
        parse(&Bytes::copy_from_slice(text.as_bytes()), None)
    }

    #[track_caller]
    fn refused(text: &str, code: Code, hint: &str) {
        let Err(error) = parsed(text) else {
            panic!("{text} was accepted")
        };
        assert_eq!(error.code(), code, "{text}: {error}");
        assert!(error.message().contains(hint), "{text}: {error}");
    }

    #[test]
    fn data_stay_as_they_were_written() {
        for data in ["{\"b\":1,  \"a\":1e300}", "null", "\"\\u00e9\"", "[1,2]", "1.0"] {
            let event = parsed(&format!("{{\"data\": {data} }}")).map(|e| e.event.data);
            assert_eq!(
                event.ok(),
                Some(Payload::Json(Bytes::copy_from_slice(data.as_bytes())))
            );
        }
    }

    #[test]
    fn line_breaks_between_tokens_become_spaces() {
        let event = parsed("{\"data\":{\n\"a\":\r\n1}}").map(|e| e.event.data);
        assert_eq!(
            event.ok(),
            Some(Payload::Json(Bytes::from_static(b"{ \"a\":  1}")))
        );
    }

    #[test]
    fn names_and_keys_are_read_with_and_without_escapes() {
        let event = parsed(r#"{"event":"caf\u00e9","key":"k 1","data":1}"#);
        let event = event.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(event.event.name(), "café");
        assert_eq!(event.key.as_ref().map(IdempotencyKey::as_str), Some("k 1"));
        let event = parsed(r#"{"event":null,"key":null,"data":1}"#).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(event.event.name(), "message");
        assert_eq!(event.key, None);
    }

    #[test]
    fn what_is_no_event_is_refused_with_the_reason() {
        refused("{\"data\":1", Code::InvalidJson, "line 1 column 9");
        refused("", Code::InvalidJson, "EOF");
        refused("{\"data\":1} x", Code::InvalidJson, "column 12");
        refused("{\"event\":\"a\"}", Code::InvalidEvent, "data");
        refused(
            "{\"event\":\"\",\"data\":1}",
            Code::InvalidEvent,
            "event: the name is empty",
        );
        refused("{\"data\":1,\"evnet\":\"a\"}", Code::InvalidEvent, "evnet");
        refused("[1]", Code::InvalidEvent, "object");
        refused("{\"data\":1,\"event\":7}", Code::InvalidEvent, "string");
        refused("{\"data\":1e999}", Code::InvalidEvent, "out of range");
        refused("{\"data\":1,\"data\":2}", Code::InvalidEvent, "duplicate");
        refused("{\"data\":1,\"key\":\"\\u0000\"}", Code::InvalidKey, "printable");
        refused(
            &format!("{{\"data\":1,\"key\":\"{}\"}}", "k".repeat(201)),
            Code::InvalidKey,
            "200",
        );
        refused(
            &format!("{{\"data\":1,\"event\":\"{}\"}}", "e".repeat(201)),
            Code::InvalidEvent,
            "200",
        );
    }

    #[test]
    fn data_that_are_no_text_are_refused() {
        let error = parse(&Bytes::from_static(b"{\"data\":\"\xff\"}"), None).err();
        assert_eq!(error.map(|e| e.code()), Some(Code::InvalidJson));
    }

    #[test]
    fn deep_data_are_refused_and_flat_data_with_many_brackets_are_not() {
        let nested = |depth: usize| format!("{{\"data\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(parsed(&nested(DATA_DEPTH_MAX)).is_ok());
        refused(&nested(DATA_DEPTH_MAX + 1), Code::InvalidEvent, "nested");
        refused(&nested(100_000), Code::InvalidEvent, "nested");
        assert!(parsed(&format!("{{\"data\":[{}0]}}", "[],{},".repeat(1000))).is_ok());
        assert!(
            parsed(&format!(
                "{{\"data\":\"{}\\\"{}\"}}",
                "[".repeat(500),
                "{".repeat(500)
            ))
            .is_ok()
        );
    }
}
