//! An entry on the wire: JSON and MessagePack, with the same keys.
//!
//! `{"id","stream","event","data","time","user"?,"traceparent"?,"cursor"}`. The cursor stands last: a subscriber to several
//! streams is given a cursor of its own, so everything before it can be encoded once and shared.

mod json;
mod json_check;
mod json_members;
mod json_plain;
mod message_pack;
mod message_pack_check;
mod transcode;

pub use json::{
    entry_json, entry_json_members, entry_json_prefix, json_of_payload, json_string, payload_of_json,
    push_json_string, push_json_time,
};
pub use json_members::{Members, Plain, PlainEvent, plain_members};
pub use json_plain::plain_bytes;
pub use message_pack::{
    decode_value, decode_value_ref, entry_message_pack, message_pack_of_payload, payload_of_value, push_json,
};
pub use message_pack_check::valid_message_pack;

pub(crate) use json::json_object_of_fields;
pub(crate) use json_check::checked_json;

/// Key of an object that stands for binary data in JSON: `{"$base64":"…"}`.
pub const BASE64_KEY: &str = "$base64";
