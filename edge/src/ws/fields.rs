//! The keys of a client's frame, taken apart but not yet understood: the one place that knows both encodings.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use shared::Payload;
use shared::limits::WS_REF_BYTES_MAX;
use shared::wire::{decode_value, payload_of_json, payload_of_value, plain_members};

use super::format::Format;
use crate::error::{ApiError, Code};
use crate::http::query::Streams;

/// Names a request, chosen by the client; its answers carry it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum Ref {
    /// A whole number.
    Unsigned(u64),
    /// A whole number below zero.
    Signed(i64),
    /// A text.
    Text(String),
}

/// By hand: a derived one keeps a copy of the value first, to try the variants on, and every publish has a `ref`.
impl<'de> Deserialize<'de> for Ref {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RefVisitor;
        impl Visitor<'_> for RefVisitor {
            type Value = Ref;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"ref\": a text or a whole number")
            }
            fn visit_u64<E>(self, number: u64) -> Result<Ref, E> {
                Ok(Ref::Unsigned(number))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Ref, E> {
                Ok(u64::try_from(number).map_or(Ref::Signed(number), Ref::Unsigned))
            }
            fn visit_str<E>(self, text: &str) -> Result<Ref, E> {
                Ok(Ref::Text(text.to_owned()))
            }
        }
        deserializer.deserialize_any(RefVisitor)
    }
}

/// Takes one frame apart. The error comes with the frame's `ref`, as far as it can be read.
pub(super) fn parse(format: Format, frame: &[u8]) -> Result<(Fields<'_>, Data), (Option<Ref>, ApiError)> {
    let parsed = match format {
        Format::Json => parse_json(frame),
        Format::MessagePack => parse_message_pack(frame),
    };
    let (fields, data) = parsed.map_err(|error| (lenient_ref(format, frame), error))?;
    match &fields.reference {
        Some(reference) if !reference.fits() => {
            let problem = format!("\"ref\" has more than {WS_REF_BYTES_MAX} bytes");
            Err((None, ApiError::new(Code::InvalidFrame, problem)))
        }
        _ => Ok((fields, data)),
    }
}

/// Everything that can stand in a frame, whatever its type. The data are apart, since each format has its own kind.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fields<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) kind: Cow<'a, str>,
    #[serde(rename = "ref", default)]
    pub(super) reference: Option<Ref>,
    #[serde(default)]
    pub(super) stream: Option<String>,
    #[serde(default)]
    pub(super) streams: Option<Streams>,
    #[serde(default)]
    pub(super) from: Option<String>,
    #[serde(default)]
    pub(super) last: Option<usize>,
    #[serde(default)]
    pub(super) since: Option<String>,
    #[serde(default)]
    pub(super) until: Option<String>,
    #[serde(default)]
    pub(super) limit: Option<usize>,
    #[serde(default)]
    pub(super) reverse: Option<bool>,
    #[serde(default)]
    pub(super) event: Option<Events>,
    #[serde(default, rename = "match")]
    pub(super) pattern: Option<String>,
    #[serde(default)]
    pub(super) key: Option<String>,
    #[serde(default)]
    pub(super) durability: Option<String>,
    #[serde(default)]
    pub(super) traceparent: Option<String>,
    #[serde(default, borrow, deserialize_with = "present")]
    data: Option<&'a RawValue>,
}

/// `null` is data like any other; only an absent key is none.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// One event name or several.
#[derive(Deserialize)]
#[serde(untagged, expecting = "\"event\" is a text or an array of texts")]
pub(super) enum Events {
    One(String),
    Many(Vec<String>),
}

/// The data of a publish, already in the format in which they are stored.
pub(super) type Data = Option<Payload>;

fn parse_json(frame: &[u8]) -> Result<(Fields<'_>, Data), ApiError> {
    parse_plain(frame).map_or_else(|| parse_any(frame), Ok)
}

/// Whatever a frame is.
pub(super) fn parse_any(frame: &[u8]) -> Result<(Fields<'_>, Data), ApiError> {
    let explain = |error: &serde_json::Error, data: Code| {
        let code = if error.is_data() { data } else { Code::InvalidJson };
        ApiError::new(code, error.to_string())
    };
    if !is_object(frame) {
        return Err(ApiError::new(Code::InvalidFrame, "not one JSON object"));
    }
    let mut fields: Fields<'_> =
        serde_json::from_slice(frame).map_err(|e| explain(&e, Code::InvalidFrame))?;
    let payload = |raw: &RawValue| {
        payload_of_json(Bytes::copy_from_slice(raw.get().as_bytes()))
            .map_err(|e| explain(&e, Code::InvalidEvent))
    };
    let data = fields.data.take().map(payload).transpose()?;
    Ok((fields, data))
}

/// A publish as nearly all of them are written, taken apart and checked in one look. Whatever else a frame is, it is left to
/// the parser, which also knows what is wrong with it.
pub(super) fn parse_plain(frame: &[u8]) -> Option<(Fields<'_>, Data)> {
    let members = plain_members(std::str::from_utf8(frame).ok()?)?;
    let (mut fields, mut data) = (Fields::default(), None);
    for (key, value) in members {
        let text = || value.text().map(str::to_owned);
        match key {
            "type" => fields.kind = Cow::Borrowed(value.text().filter(|kind| *kind == "publish")?),
            "ref" => {
                let number = value.whole().map(Ref::Unsigned);
                fields.reference = Some(number.or_else(|| text().map(Ref::Text))?);
            }
            "stream" => fields.stream = Some(text()?),
            "event" => fields.event = Some(Events::One(text()?)),
            "key" => fields.key = Some(text()?),
            "durability" => fields.durability = Some(text()?),
            "traceparent" => fields.traceparent = Some(text()?),
            "data" => data = Some(value.payload()),
            _ => return None,
        }
    }
    (!fields.kind.is_empty()).then_some((fields, data))
}

/// A derived reader would take an array of the values too.
fn is_object(frame: &[u8]) -> bool {
    frame.trim_ascii_start().first() == Some(&b'{')
}

fn parse_message_pack(frame: &[u8]) -> Result<(Fields<'static>, Data), ApiError> {
    let invalid = |problem: String| ApiError::new(Code::InvalidFrame, problem);
    let Some(rmpv::Value::Map(mut pairs)) = decode_value(frame) else {
        return Err(invalid("not one MessagePack map".to_owned()));
    };
    let data = pairs
        .iter()
        .position(|(key, _)| key.as_str() == Some("data"))
        .map(|at| payload_of_value(&pairs.swap_remove(at).1));
    let fields = Fields::deserialize(rmpv::Value::Map(pairs))
        .map_err(|rmpv::ext::Error::Syntax(problem)| invalid(problem))?;
    Ok((fields, data))
}

/// The `ref` of a frame that is otherwise wrong, so that its error can be told apart from others.
fn lenient_ref(format: Format, frame: &[u8]) -> Option<Ref> {
    #[derive(Deserialize)]
    struct Head {
        #[serde(rename = "ref")]
        reference: Ref,
    }
    let reference = match format {
        Format::Json if !is_object(frame) => return None,
        Format::Json => serde_json::from_slice::<Head>(frame).ok()?.reference,
        Format::MessagePack => {
            let value = decode_value(frame)?;
            let pair = value
                .as_map()?
                .iter()
                .find(|(key, _)| key.as_str() == Some("ref"))?;
            Ref::deserialize(pair.1.clone()).ok()?
        }
    };
    reference.fits().then_some(reference)
}

impl Ref {
    fn fits(&self) -> bool {
        !matches!(self, Self::Text(text) if text.len() > WS_REF_BYTES_MAX)
    }
}

impl Fields<'_> {
    /// A key that is still there: after everything that belongs into a frame of its type was taken out, one that
    /// does not.
    pub(super) fn left(&self) -> Option<&'static str> {
        let given = [
            ("stream", self.stream.is_some()),
            ("streams", self.streams.is_some()),
            ("from", self.from.is_some()),
            ("last", self.last.is_some()),
            ("since", self.since.is_some()),
            ("until", self.until.is_some()),
            ("limit", self.limit.is_some()),
            ("reverse", self.reverse.is_some()),
            ("event", self.event.is_some()),
            ("match", self.pattern.is_some()),
            ("key", self.key.is_some()),
            ("durability", self.durability.is_some()),
            ("traceparent", self.traceparent.is_some()),
        ];
        given
            .into_iter()
            .find(|(_, is_given)| *is_given)
            .map(|(key, _)| key)
    }
}
