//! What the peer's log held: one stream for everything, with the room of each event inside.

use std::collections::{BTreeMap, HashMap, HashSet};

use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, RedisResult, Value};
use serde::Deserialize;
use shared::{EntryId, StreamName};

use crate::checker::{Event, Item, Logged, Removal, StreamTruth};
use crate::events::{self, Data};

/// Where the adapter keeps it, unless told otherwise.
const KEY: &str = "socket.io";
/// The type of an event among the adapter's messages.
const BROADCAST: &str = "3";
/// Entries read at once.
const PAGE: usize = 1_000;

/// An event as the adapter stores it.
#[derive(Deserialize)]
struct Broadcast {
    packet: Packet,
    opts: Opts,
}

#[derive(Deserialize)]
struct Packet {
    data: (String, Data),
}

#[derive(Deserialize)]
struct Opts {
    rooms: Vec<StreamName>,
}

/// Adds one last event to the room, in the form in which the adapter's own emitter does it.
pub async fn add_last(connection: &mut MultiplexedConnection, room: &StreamName) -> RedisResult<EntryId> {
    let data = events::json(0, 0);
    let message = format!(
        r#"{{"packet":{{"type":2,"data":["{room}",{data}],"nsp":"/"}},"opts":{{"rooms":["{room}"],"except":[],"flags":{{}}}}}}"#
    );
    let id: String = redis::cmd("XADD")
        .arg(&[
            KEY, "*", "uid", "emitter", "nsp", "/", "type", BROADCAST, "data", &message,
        ])
        .query_async(connection)
        .await?;
    id.parse()
        .map_err(|_| redis::RedisError::from((redis::ErrorKind::UnexpectedReturnType, "an entry ID")))
}

/// Every event of every room, in order.
pub async fn truths(
    connection: &mut MultiplexedConnection,
) -> RedisResult<BTreeMap<StreamName, StreamTruth>> {
    let mut rooms: BTreeMap<StreamName, Vec<Logged>> = BTreeMap::new();
    let mut after = EntryId::ZERO;
    loop {
        let value: Value = redis::cmd("XRANGE")
            .arg(&[KEY, &format!("({after}"), "+", "COUNT", &PAGE.to_string()])
            .query_async(connection)
            .await?;
        let page: Vec<(String, BTreeMap<String, String>)> = FromRedisValue::from_redis_value(value)?;
        let Some((last, _)) = page.last() else { break };
        after = last.parse().unwrap();
        for (id, fields) in &page {
            if fields.get("type").is_none_or(|kind| kind != BROADCAST) {
                continue;
            }
            let broadcast: Broadcast = serde_json::from_str(&fields["data"]).unwrap();
            let event = broadcast.packet.data.1.of(id.parse().unwrap()).unwrap();
            for room in broadcast.opts.rooms {
                let logged = Logged {
                    event,
                    removed: false,
                };
                rooms.entry(room).or_default().push(logged);
            }
        }
    }
    let truth = |(room, entries): (StreamName, Vec<Logged>)| {
        let truth = StreamTruth {
            histories: vec![entries],
            removal: Removal::Front,
            rolled_back: false,
        };
        (room, truth)
    };
    Ok(rooms.into_iter().map(truth).collect())
}

/// Entries of the truth that are in none of a socket's sessions, from the first that it received on.
pub fn absent(truth: &StreamTruth, received: &HashSet<EntryId>) -> u64 {
    let first = received.iter().min().copied().unwrap_or(EntryId::ZERO);
    let wanted = truth.histories[0].iter().filter(|entry| entry.event.id >= first);
    wanted.filter(|entry| !received.contains(&entry.event.id)).count() as u64
}

/// The items as if the peer had told which entry each event is, and its ordinal: nothing can be wrong with them then.
/// Also how many of the events are no entry at all.
pub fn resolved(truth: &StreamTruth, items: &[Item]) -> (Vec<Item>, u64) {
    let history = &truth.histories[0];
    let mut entries: HashMap<(u16, u32), Vec<EntryId>> = HashMap::new();
    for Logged { event, .. } in history {
        entries
            .entry((event.producer, event.seq))
            .or_default()
            .push(event.id);
    }
    let (mut seen, mut unstored, mut resolved) = (HashSet::new(), 0, Vec::new());
    for item in items {
        let Item::Event { event, .. } = *item else {
            continue;
        };
        let candidates = entries.get(&(event.producer, event.seq));
        let first_unseen = || candidates?.iter().find(|id| !seen.contains(*id)).copied();
        let id = if event.id == EntryId::ZERO {
            first_unseen()
        } else {
            Some(event.id)
        };
        let Some(id) = id else {
            unstored += 1;
            continue;
        };
        seen.insert(id);
        resolved.push(Item::Event {
            event: Event { id, ..event },
            ordinal: Some(history.partition_point(|entry| entry.event.id <= id) as u64),
        });
    }
    (resolved, unstored)
}
