//! What the producers publish: who, which, and a text that would show if it were cut or joined wrongly.

use serde::{Deserialize, Deserializer};
use shared::{EntryId, StreamName};

/// The data of an event: `{"p":producer,"n":number,"pad":…}`. Fields that a raw `XADD` wrote come as texts.
#[derive(Debug, Deserialize)]
pub struct Data {
    #[serde(deserialize_with = "number")]
    p: u64,
    #[serde(deserialize_with = "number")]
    n: u64,
    pad: String,
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Number(u64),
        Text(String),
    }
    match Number::deserialize(deserializer)? {
        Number::Number(number) => Ok(number),
        Number::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}

impl Data {
    /// Which event it is, if its text is the right one.
    pub fn of(self, id: EntryId) -> Option<crate::checker::Event> {
        let (producer, seq) = (u16::try_from(self.p).ok()?, u32::try_from(self.n).ok()?);
        (self.pad == pad(producer, seq)).then_some(crate::checker::Event { id, producer, seq })
    }
}

/// Producers from this number on publish events of about 4 KB.
pub const BIG: u16 = 1_000;

/// A text of 0 to about 300 bytes, or of about 4 KB, with everything that a transport may stumble over.
pub fn pad(producer: u16, seq: u32) -> String {
    let unit = "ä\n\"\\☃ data: {}\r\n";
    let count = if producer < BIG {
        (seq as usize * 7 + producer as usize) % 14
    } else {
        180
    };
    unit.repeat(count)
}

/// The data as JSON on one line.
pub fn json(producer: u16, seq: u32) -> String {
    let pad = serde_json::Value::from(pad(producer, seq));
    format!("{{\"p\":{producer},\"n\":{seq},\"pad\":{pad}}}")
}

/// The key under which Redis holds a stream.
pub fn key(stream: &StreamName) -> String {
    format!("weir:{{{stream}}}")
}
