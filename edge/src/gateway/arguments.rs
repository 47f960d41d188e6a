//! What a client sent with an event: its arguments as they stand in the packet, the values that templates take from
//! them, and the data that are stored of them.

use std::cell::OnceCell;

use bytes::Bytes;
use rmpv::Value;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use shared::Payload;
use shared::wire::{self, Members, PlainEvent};

use super::template::Place;
use crate::error::{ApiError, Code};
use crate::socketio::elements;

/// The key of an object that stands for binary.
const PLACEHOLDER: &str = "_placeholder";

/// The arguments of an event, without its name.
#[derive(Debug)]
pub(crate) struct Arguments<'a> {
    /// All of them and the event's name, as they stand in the packet: checked JSON.
    array: Bytes,
    /// Where everything is in it, if that is known.
    plain: Option<&'a PlainEvent>,
    list: OnceCell<Vec<Bytes>>,
    binary: Binary<'a>,
}

/// What placeholders stand for, and how much of it one event may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Binary<'a> {
    /// The binary parts of the packet.
    pub(crate) attachments: &'a [Bytes],
    /// Bytes of one event. A placeholder that stands many times counts as often.
    pub(crate) bytes_max: usize,
}

impl<'a> Arguments<'a> {
    /// Of the array of an event: its name, then its arguments.
    pub(crate) fn new(array: &Bytes, plain: Option<&'a PlainEvent>, binary: Binary<'a>) -> Self {
        Self {
            array: array.clone(),
            plain,
            list: OnceCell::new(),
            binary,
        }
    }

    /// Each argument as it stands in the packet.
    fn list(&self) -> &[Bytes] {
        self.list.get_or_init(|| elements(&self.array).skip(1).collect())
    }

    /// The members of the only argument, if it is an object of the plain kind: they were seen when the packet was checked.
    pub(crate) fn plain_members(&self) -> Option<Members<'_>> {
        self.plain?.members(text(&self.array))
    }

    /// The one argument that a built-in event has.
    pub(crate) fn only(&self) -> Result<&str, ApiError> {
        match self.list() {
            [only] => Ok(text(only)),
            list => Err(invalid(format!(
                "expected one argument, an object; there are {}",
                list.len()
            ))),
        }
    }

    /// What placeholders stand for.
    pub(crate) fn binary(&self) -> Binary<'a> {
        self.binary
    }

    /// The text or number that stands in an argument: it, or the field of it that the path leads to.
    pub(crate) fn value(&self, index: usize, path: &[Box<str>]) -> Option<String> {
        value(text(self.list().get(index)?), path)
    }

    /// What is stored of those arguments that are not in `taken`, and whether they are to be spread again: only one
    /// is stored as it is, none or several as an array.
    pub(crate) fn payload(&self, taken: &[usize]) -> Result<(Payload, bool), ApiError> {
        let left = self.list().iter().enumerate();
        let left = left.filter(|(index, _)| !taken.contains(index));
        let left: Vec<&str> = left.map(|(_, raw)| text(raw)).collect();
        match left.as_slice() {
            [only] => Ok((payload(only, self.binary)?, false)),
            left => Ok((payload(&format!("[{}]", left.join(",")), self.binary)?, true)),
        }
    }
}

/// Packets are valid UTF-8, and so are parts of them.
fn text(json: &[u8]) -> &str {
    std::str::from_utf8(json).unwrap_or_default()
}

/// The texts and numbers that stand at some places in the client's `auth`.
pub(crate) fn auth_values(auth: Option<&[u8]>, places: &[Place]) -> Box<[Option<Box<str>>]> {
    let auth = auth.and_then(|auth| std::str::from_utf8(auth).ok());
    let of = |place: &Place| match place {
        Place::Auth(path) => value(auth?, path).map(String::into_boxed_str),
        Place::Argument(..) | Place::Namespace => None,
    };
    places.iter().map(of).collect()
}

/// The text or whole number that the path leads to; `None` if there is none, or an empty one.
fn value(json: &str, path: &[Box<str>]) -> Option<String> {
    let found = path.iter().try_fold(json, |json, name| field(json, name))?;
    let digits = found.strip_prefix('-').unwrap_or(found);
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Some(found.to_owned());
    }
    let text: String = serde_json::from_str(found).ok()?;
    (!text.is_empty()).then_some(text)
}

/// The text of a field of a JSON object; `None` if there is none or `null`, an error if it is no text.
pub(crate) fn text_field(object: &str, name: &str) -> Result<Option<String>, serde_json::Error> {
    field(object, name).map_or(Ok(None), serde_json::from_str)
}

/// A field of a JSON object, as it stands there. Of several the last counts, as in JavaScript.
fn field<'a>(object: &'a str, name: &str) -> Option<&'a str> {
    struct Field<'n>(&'n str);
    impl<'de> Visitor<'de> for Field<'_> {
        type Value = Option<&'de RawValue>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(key) = map.next_key::<String>()? {
                if key == self.0 {
                    found = Some(map.next_value()?);
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(found)
        }
    }
    impl<'de> DeserializeSeed<'de> for Field<'_> {
        type Value = Option<&'de RawValue>;
        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
            deserializer.deserialize_map(self)
        }
    }
    let mut parser = serde_json::Deserializer::from_str(object);
    let found = Field(name).deserialize(&mut parser).ok()?;
    found.map(RawValue::get)
}

/// One argument as it is stored: JSON stays the text that was sent, binary becomes bytes, and what holds both becomes
/// MessagePack.
pub(crate) fn payload(json: &str, binary: Binary<'_>) -> Result<Payload, ApiError> {
    let raw = Bytes::copy_from_slice(json.as_bytes());
    let payload = wire::payload_of_json(raw).map_err(|e| invalid(format!("data: {e}")))?;
    if binary.attachments.is_empty() || !json.contains(PLACEHOLDER) {
        return Ok(payload);
    }
    let value = serde_json::from_slice(payload.raw()).map_err(|e| invalid(format!("data: {e}")))?;
    let mut left = binary.bytes_max;
    let value = with_binary(value, binary, &mut left)?;
    Ok(wire::payload_of_value(&value))
}

/// The value with the binary that its placeholders stand for.
fn with_binary(value: serde_json::Value, binary: Binary<'_>, left: &mut usize) -> Result<Value, ApiError> {
    use serde_json::Value as Json;
    Ok(match value {
        Json::Null => Value::Nil,
        Json::Bool(yes) => Value::Boolean(yes),
        Json::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => Value::from(number),
            (_, Some(number)) => Value::from(number),
            _ => Value::F64(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text),
        Json::Array(items) => {
            let items = items.into_iter().map(|item| with_binary(item, binary, left));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        Json::Object(fields) if fields.get(PLACEHOLDER) == Some(&Json::Bool(true)) => {
            let number = fields.get("num").and_then(Json::as_u64);
            let attachment = number
                .and_then(|number| usize::try_from(number).ok())
                .and_then(|number| binary.attachments.get(number))
                .ok_or_else(|| invalid("a placeholder without its attachment"))?;
            *left = left.checked_sub(attachment.len()).ok_or_else(|| {
                let max = binary.bytes_max;
                ApiError::new(Code::TooLarge, format!("an event has at most {max} bytes"))
            })?;
            Value::Binary(attachment.to_vec())
        }
        Json::Object(fields) => {
            let pair = |(key, value)| Ok((Value::from(key), with_binary(value, binary, left)?));
            Value::Map(fields.into_iter().map(pair).collect::<Result<_, ApiError>>()?)
        }
    })
}

fn invalid(problem: impl Into<String>) -> ApiError {
    ApiError::new(Code::InvalidEvent, problem)
}

#[cfg(test)]
#[path = "arguments_tests.rs"]
mod tests;
