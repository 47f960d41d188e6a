//! JSON text to MessagePack, token by token: no value is built in between, whatever its size.

use std::fmt;

use rmpv::ValueRef;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::message_pack::push_ref;

/// First bytes of a container by how its length is written (MessagePack specification, "Formats").
struct Container {
    fix: u8,
    len_16: u8,
    len_32: u8,
}

const ARRAY: Container = Container {
    fix: 0x90,
    len_16: 0xdc,
    len_32: 0xdd,
};
const MAP: Container = Container {
    fix: 0x80,
    len_16: 0xde,
    len_32: 0xdf,
};

/// Appends one JSON value to `out` as MessagePack. On an error what was appended is of no use.
pub(super) fn push_json_as_message_pack(out: &mut Vec<u8>, json: &[u8]) -> Result<(), serde_json::Error> {
    let mut parser = serde_json::Deserializer::from_slice(json);
    Transcode(out).deserialize(&mut parser)?;
    parser.end()
}

/// Writes the value that it visits.
struct Transcode<'a>(&'a mut Vec<u8>);

impl Transcode<'_> {
    /// Leaves room for the head of a container whose length is not known yet.
    fn open(&mut self) -> usize {
        self.0.push(0);
        self.0.len() - 1
    }

    /// Writes the head of the container that was opened at `head`; a longer one moves what stands behind it.
    fn close<E: Error>(self, head: usize, container: &Container, count: usize) -> Result<(), E> {
        let behind = head + 1..head + 1;
        if let Ok(count @ 0..=15) = u8::try_from(count) {
            self.0[head] = container.fix | count;
        } else if let Ok(count) = u16::try_from(count) {
            self.0[head] = container.len_16;
            self.0.splice(behind, count.to_be_bytes());
        } else {
            let count = u32::try_from(count).map_err(E::custom)?;
            self.0[head] = container.len_32;
            self.0.splice(behind, count.to_be_bytes());
        }
        Ok(())
    }

    fn put(self, value: ValueRef<'_>) {
        push_ref(self.0, &value);
    }
}

impl<'de> DeserializeSeed<'de> for Transcode<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Transcode<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        self.put(ValueRef::Nil);
        Ok(())
    }
    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.put(ValueRef::Boolean(value));
        Ok(())
    }
    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.put(ValueRef::from(value));
        Ok(())
    }
    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.put(ValueRef::from(value));
        Ok(())
    }
    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.put(ValueRef::from(value));
        Ok(())
    }
    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.put(ValueRef::from(value));
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        let head = self.open();
        let mut count = 0;
        while items.next_element_seed(Transcode(self.0))?.is_some() {
            count += 1;
        }
        self.close(head, &ARRAY, count)
    }
    fn visit_map<A: MapAccess<'de>>(mut self, mut pairs: A) -> Result<(), A::Error> {
        let head = self.open();
        let mut count = 0;
        while pairs.next_key_seed(Transcode(self.0))?.is_some() {
            pairs.next_value_seed(Transcode(self.0))?;
            count += 1;
        }
        self.close(head, &MAP, count)
    }
}
