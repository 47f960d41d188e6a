//! How each server is asked for streams, and what its events say.

use std::collections::BTreeMap;

use benches::client::Received;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use shared::{Cursor, EntryId, StreamName};

use crate::checker::{Event, Item, Outage};
use crate::events::Data;

/// What a server's events look like.
#[derive(Debug, Clone)]
pub enum Dialect {
    /// Weir's.
    Weir,
    /// Those of the Node.js peer, which do not say of which stream they are: so where each producer publishes, the one
    /// with number 1 first.
    Node(Vec<StreamName>),
}

/// What an event told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Of which stream.
    pub stream: StreamName,
    /// What; `None`: only the position.
    pub item: Option<Item>,
    /// The log is away, or back.
    pub outage: Option<Outage>,
    /// Where to go on after it.
    pub cursor: Option<String>,
}

/// A request and the streams that it asks for.
pub type Subscribe = (Value, Vec<StreamName>);

/// The object behind the data of Weir's events, and the only argument of its notices.
#[derive(Deserialize)]
struct Meta {
    stream: StreamName,
    id: Option<String>,
    cursor: Option<String>,
    lost: Option<u64>,
    since: Option<String>,
}

/// What Weir's `subscribe` is answered with.
#[derive(Deserialize)]
pub struct Subscribed {
    /// Where the subscription stands.
    pub cursor: Option<String>,
    /// Why there is none.
    pub error: Option<Value>,
}

impl Dialect {
    /// The requests that ask for `streams`, each from its cursor, or from `begin` if it has none.
    pub fn subscribe(
        &self,
        streams: &[StreamName],
        begin: &str,
        cursors: &BTreeMap<StreamName, String>,
    ) -> Vec<Subscribe> {
        let (known, new): (Vec<_>, Vec<_>) = streams
            .iter()
            .cloned()
            .partition(|stream| matches!(self, Self::Weir) && cursors.contains_key(stream));
        let one = |stream: StreamName| {
            let request = json!({"stream": stream.as_str(), "from": cursors[&stream]});
            (request, vec![stream])
        };
        let mut requests: Vec<Subscribe> = known.into_iter().map(one).collect();
        let names: Vec<&str> = new.iter().map(StreamName::as_str).collect();
        match names.as_slice() {
            [] => {}
            [one] => requests.push((json!({"stream": one, "from": begin}), new)),
            all => requests.push((json!({"streams": all, "from": begin}), new)),
        }
        requests
    }

    /// What an event says; the error is what is wrong with it.
    pub fn read(&self, event: &Received) -> Result<Told, String> {
        let told = match self {
            Self::Weir => read_weir(event),
            Self::Node(producers) => read_node(event, producers),
        };
        told.map_err(|error| format!("{error}: {}", String::from_utf8_lossy(&event.array)))
    }
}

fn read_weir(event: &Received) -> Result<Told, String> {
    let array: Vec<&RawValue> = serde_json::from_slice(&event.array).map_err(|error| error.to_string())?;
    let parse = |raw: &RawValue| serde_json::from_str::<Meta>(raw.get()).map_err(|error| error.to_string());
    let (name, data, meta) = match array.as_slice() {
        // It says nothing of the position, so it has no offset either.
        [name, meta] if name.get() == "\"stream:degraded\"" => return degraded(parse(meta)?),
        [name, meta, offset] => (name, None, meta).with_offset(offset)?,
        [name, data, meta, offset] => (name, Some(data), meta).with_offset(offset)?,
        _ => return Err("so many arguments".to_owned()),
    };
    let meta = parse(meta)?;
    let text = meta.cursor.ok_or("no cursor")?;
    let cursor: Cursor = text.parse().map_err(|_| "not a cursor")?;
    let name: String = serde_json::from_str(name.get()).map_err(|error| error.to_string())?;
    let item = match (name.as_str(), data) {
        ("stream:gap", None) => Some(Item::Gap {
            lost: meta.lost.ok_or("a gap without a count")?,
        }),
        ("stream:reset", None) => Some(Item::Reset {
            resumes_after: cursor.id,
        }),
        ("stream:unverified", None) => Some(Item::Unverified),
        ("stream:caught_up" | "stream:cursor" | "stream:restored", None) => None,
        (_, Some(data)) => {
            if meta.id != Some(cursor.id.to_string()) {
                return Err("id and cursor do not fit".to_owned());
            }
            Some(Item::Event {
                event: published(data, cursor.id)?,
                ordinal: cursor.ordinal.map(|ordinal| ordinal.0),
            })
        }
        _ => return Err("an unknown notice".to_owned()),
    };
    Ok(Told {
        stream: meta.stream,
        item,
        outage: (name == "stream:restored").then_some(Outage::Restored),
        cursor: Some(text),
    })
}

fn degraded(meta: Meta) -> Result<Told, String> {
    if meta.since.is_none() || meta.cursor.is_some() {
        return Err("degraded is told with its time, and with nothing else".to_owned());
    }
    Ok(Told {
        stream: meta.stream,
        item: None,
        outage: Some(Outage::Degraded),
        cursor: None,
    })
}

trait WithOffset: Sized {
    /// The same, if the last argument is an offset.
    fn with_offset(self, offset: &RawValue) -> Result<Self, String>;
}

impl<T> WithOffset for T {
    fn with_offset(self, offset: &RawValue) -> Result<Self, String> {
        let offset = serde_json::from_str::<String>(offset.get());
        offset
            .map(|_| self)
            .map_err(|_| "no offset at the end".to_owned())
    }
}

/// An event without an offset could not be stored as far as its server knows, which delivers it to its own sockets all
/// the same. It is given no ID here; which entry it is, if it is one, is found out later.
fn read_node(event: &Received, producers: &[StreamName]) -> Result<Told, String> {
    let array: Vec<&RawValue> = serde_json::from_slice(&event.array).map_err(|error| error.to_string())?;
    let (name, data, id) = match array.as_slice() {
        [name, data] => (name, data, EntryId::ZERO),
        [name, data, offset] => {
            let offset: Result<String, _> = serde_json::from_str(offset.get());
            let id = offset.ok().and_then(|offset| offset.parse().ok());
            (name, data, id.ok_or("not an offset")?)
        }
        _ => return Err("so many arguments".to_owned()),
    };
    let event = published(data, id)?;
    let of_producer = usize::from(event.producer).checked_sub(1);
    let stream = match of_producer.and_then(|index| producers.get(index)) {
        Some(stream) => stream.clone(),
        // The last event of a stream is nobody's, and has its name.
        None => serde_json::from_str(name.get()).map_err(|error| error.to_string())?,
    };
    Ok(Told {
        stream,
        item: Some(Item::Event { event, ordinal: None }),
        outage: None,
        cursor: None,
    })
}

fn published(data: &RawValue, id: EntryId) -> Result<Event, String> {
    let data: Data = serde_json::from_str(data.get()).map_err(|error| error.to_string())?;
    data.of(id)
        .ok_or_else(|| "not the data that were published".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events;

    fn received(array: &str) -> Received {
        Received {
            array: array.to_owned().into(),
            attachments: Vec::new(),
            ack: None,
        }
    }

    fn event() -> Event {
        Event {
            id: EntryId::new(5, 1),
            producer: 1,
            seq: 0,
        }
    }

    #[test]
    fn the_same_event_is_read_from_both_servers() {
        let data = events::json(1, 0);
        let weir = format!(r#"["e1",{data},{{"stream":"a","id":"5-1","cursor":"5-1.7","time":"t"}},"o"]"#);
        let told = Dialect::Weir.read(&received(&weir)).unwrap();
        let item = |ordinal| {
            Some(Item::Event {
                event: event(),
                ordinal,
            })
        };
        assert_eq!(
            (told.item, told.cursor.as_deref()),
            (item(Some(7)), Some("5-1.7"))
        );
        let node = format!(r#"["e1",{data},"5-1"]"#);
        let told = Dialect::Node(vec!["a".parse().unwrap()])
            .read(&received(&node))
            .unwrap();
        assert_eq!((told.item, told.stream.as_str()), (item(None), "a"));
        let last = format!(r#"["b",{},"5-1"]"#, events::json(0, 0));
        assert_eq!(
            Dialect::Node(Vec::new())
                .read(&received(&last))
                .unwrap()
                .stream
                .as_str(),
            "b"
        );
    }

    #[test]
    fn notices_are_told_apart() {
        let read = |array: &str| Dialect::Weir.read(&received(array)).map(|told| told.item);
        let gap = r#"["stream:gap",{"stream":"a","lost":3,"cursor":"5-1.7"},"o"]"#;
        assert_eq!(read(gap), Ok(Some(Item::Gap { lost: 3 })));
        let reset = r#"["stream:reset",{"stream":"a","cursor":"5-1"},"o"]"#;
        let resumes_after = EntryId::new(5, 1);
        assert_eq!(read(reset), Ok(Some(Item::Reset { resumes_after })));
        let caught_up = r#"["stream:caught_up",{"stream":"a","cursor":"5-1.7"},"o"]"#;
        assert_eq!(read(caught_up), Ok(None));
    }

    #[test]
    fn an_outage_has_an_offset_only_when_it_is_over() {
        let read = |array: &str| {
            let told = Dialect::Weir.read(&received(array))?;
            Ok((told.outage, told.cursor))
        };
        let away = r#"["stream:degraded",{"stream":"a","since":"2026-01-01T00:00:00.000Z"}]"#;
        assert_eq!(read(away), Ok((Some(Outage::Degraded), None)));
        let back = r#"["stream:restored",{"stream":"a","cursor":"5-1.7"},"o"]"#;
        assert_eq!(read(back), Ok((Some(Outage::Restored), Some("5-1.7".to_owned()))));
        let wrong = r#"["stream:degraded",{"stream":"a","since":"t"},"o"]"#;
        let error: Result<_, String> = read(wrong);
        error.unwrap_err();
    }

    #[test]
    fn what_is_not_as_it_should_be_is_an_error() {
        let data = events::json(1, 0);
        for array in [
            format!(r#"["e1",{data},{{"stream":"a","id":"5-1","cursor":"5-1.7"}}]"#),
            format!(r#"["e1",{data},{{"stream":"a","id":"5-2","cursor":"5-1.7"}},"o"]"#),
            format!(
                r#"["e1",{},{{"stream":"a","id":"5-1","cursor":"5-1.7"}},"o"]"#,
                data.replace(":0", ":1")
            ),
            r#"["stream:gap",{"stream":"a","cursor":"5-1.7"},"o"]"#.to_owned(),
            r#"["stream:other",{"stream":"a","cursor":"5-1.7"},"o"]"#.to_owned(),
        ] {
            assert!(Dialect::Weir.read(&received(&array)).is_err(), "{array}");
        }
    }

    #[test]
    fn streams_are_asked_for_where_they_were_left() {
        let names: Vec<StreamName> = ["a", "b", "c"].map(|name| name.parse().unwrap()).to_vec();
        let cursors = BTreeMap::from([(names[1].clone(), "5-1.7".to_owned())]);
        let requests = Dialect::Weir.subscribe(&names, "start", &cursors);
        let requests: Vec<Value> = requests.into_iter().map(|(request, _)| request).collect();
        let expected = [
            json!({"stream": "b", "from": "5-1.7"}),
            json!({"streams": ["a", "c"], "from": "start"}),
        ];
        assert_eq!(requests, expected);
        assert_eq!(
            Dialect::Node(Vec::new())
                .subscribe(&names, "start", &cursors)
                .len(),
            1
        );
    }
}
