//! What the streams really held: read from Redis itself, past the product.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, RedisResult, Value};
use shared::{EntryId, StreamName};

use crate::checker::{Event, Logged, Removal, StreamTruth};
use crate::events::{self, Data};

/// Entries read at once.
const PAGE: usize = 1_000;

/// Reads and changes streams as an operator would, and keeps what it takes away.
pub struct Operator {
    connection: MultiplexedConnection,
    random: fastrand::Rng,
    /// Entries that were trimmed or deleted, or soon may be.
    recorded: HashMap<StreamName, Vec<Event>>,
    /// Keys that hold the earlier histories of a stream.
    earlier: HashMap<StreamName, Vec<String>>,
    /// Earlier histories of a stream of which nothing is left.
    gone: HashMap<StreamName, Vec<Vec<Logged>>>,
    /// States to which streams may be set back.
    dumps: HashMap<StreamName, Vec<u8>>,
}

impl Operator {
    /// Connects to Redis.
    pub async fn connect(socket: &Path, seed: u64) -> RedisResult<Self> {
        Ok(Self {
            connection: connect_redis(socket).await?,
            random: fastrand::Rng::with_seed(seed),
            recorded: HashMap::new(),
            earlier: HashMap::new(),
            gone: HashMap::new(),
            dumps: HashMap::new(),
        })
    }

    /// Connects anew, after Redis was restarted.
    pub async fn reconnect(&mut self, socket: &Path) -> RedisResult<()> {
        self.connection = connect_redis(socket).await?;
        Ok(())
    }

    /// Trims the stream to its last `keep` entries; returns how many went.
    pub async fn trim(&mut self, stream: &StreamName, keep: usize) -> RedisResult<u64> {
        let known = self.recorded.entry(stream.clone()).or_default();
        let after = known.last().map_or(EntryId::ZERO, |event| event.id);
        let more = read(&mut self.connection, &events::key(stream), after).await?;
        known.extend(more);
        // Only what has been recorded may go.
        let Some(first_kept) = known.len().checked_sub(keep + 1).map(|index| known[index].id) else {
            return Ok(0);
        };
        redis::cmd("XTRIM")
            .arg(events::key(stream))
            .arg("MINID")
            .arg(first_kept.to_string())
            .query_async(&mut self.connection)
            .await
    }

    /// Deletes a few single entries among the last ones.
    pub async fn delete_some(&mut self, stream: &StreamName) -> RedisResult<u64> {
        let key = events::key(stream);
        let value: Value = redis::cmd("XREVRANGE")
            .arg(&[&key, "+", "-", "COUNT", "400"])
            .query_async(&mut self.connection)
            .await?;
        let mut last = entries(value)?;
        // The last one may be a cursor's entry, which is a case of its own.
        self.random.shuffle(&mut last);
        last.truncate(7);
        if last.is_empty() {
            return Ok(0);
        }
        self.recorded.entry(stream.clone()).or_default().extend(&last);
        let ids: Vec<String> = last.iter().map(|event| event.id.to_string()).collect();
        redis::cmd("XDEL")
            .arg(key)
            .arg(ids)
            .query_async(&mut self.connection)
            .await
    }

    /// Deletes the stream, so that the next publish creates it anew. Its history is kept under another key.
    pub async fn delete(&mut self, stream: &StreamName) -> RedisResult<()> {
        let kept = self.keep_history(stream);
        redis::cmd("RENAME")
            .arg(events::key(stream))
            .arg(kept)
            .query_async(&mut self.connection)
            .await
    }

    /// Deletes the records of all sessions, as if Redis had lost them.
    pub async fn delete_sessions(&mut self) -> RedisResult<()> {
        let keys: Vec<String> = redis::cmd("KEYS")
            .arg("weir:session:*")
            .query_async(&mut self.connection)
            .await?;
        if keys.is_empty() {
            return Ok(());
        }
        redis::cmd("DEL")
            .arg(keys)
            .query_async(&mut self.connection)
            .await
    }

    /// Notes the state of the stream, for [`Operator::set_back`].
    pub async fn note_state(&mut self, stream: &StreamName) -> RedisResult<()> {
        let dump: Option<Vec<u8>> = redis::cmd("DUMP")
            .arg(events::key(stream))
            .query_async(&mut self.connection)
            .await?;
        self.dumps.extend(dump.map(|dump| (stream.clone(), dump)));
        Ok(())
    }

    /// Sets the stream back to the noted state, as a fail-over to a lagging replica does.
    pub async fn set_back(&mut self, stream: &StreamName) -> RedisResult<()> {
        let Some(dump) = self.dumps.remove(stream) else {
            return Ok(());
        };
        let key = events::key(stream);
        let kept = self.keep_history(stream);
        redis::pipe()
            .atomic()
            .cmd("RENAME")
            .arg(&key)
            .arg(kept)
            .cmd("RESTORE")
            .arg(&key)
            .arg(0)
            .arg(dump)
            .query_async(&mut self.connection)
            .await
    }

    /// Takes down what the stream holds, before all data are lost.
    pub async fn take_down(&mut self, stream: &StreamName) -> RedisResult<()> {
        let history = read(&mut self.connection, &events::key(stream), EntryId::ZERO).await?;
        let history = history.into_iter().map(kept).collect();
        self.gone.entry(stream.clone()).or_default().push(history);
        Ok(())
    }

    fn keep_history(&mut self, stream: &StreamName) -> String {
        let earlier = self.earlier.entry(stream.clone()).or_default();
        let key = format!("history:{}:{{{stream}}}", earlier.len());
        earlier.push(key.clone());
        key
    }

    /// The ID of the last entry.
    pub async fn newest(&mut self, stream: &StreamName) -> RedisResult<EntryId> {
        let value: Value = redis::cmd("XREVRANGE")
            .arg(&[&events::key(stream), "+", "-", "COUNT", "1"])
            .query_async(&mut self.connection)
            .await?;
        Ok(entries(value)?.first().map_or(EntryId::ZERO, |event| event.id))
    }

    /// Adds one last event and returns its ID.
    pub async fn add_last(&mut self, stream: &StreamName) -> RedisResult<EntryId> {
        let id: String = redis::cmd("XADD")
            .arg(events::key(stream))
            .arg(&["*", "d", &events::json(0, 0)])
            .query_async(&mut self.connection)
            .await?;
        id.parse()
            .map_err(|_| redis::RedisError::from((redis::ErrorKind::UnexpectedReturnType, "an entry ID")))
    }

    /// Everything that was ever in the stream. Nothing may be added any more.
    pub async fn truth(&mut self, stream: &StreamName, removal: Removal) -> RedisResult<StreamTruth> {
        let mut histories = self.gone.remove(stream).unwrap_or_default();
        for key in self.earlier.get(stream).cloned().unwrap_or_default() {
            let history = read(&mut self.connection, &key, EntryId::ZERO).await?;
            histories.push(history.into_iter().map(kept).collect());
        }
        let there = read(&mut self.connection, &events::key(stream), EntryId::ZERO).await?;
        let removed = self.recorded.remove(stream).unwrap_or_default();
        let removed = removed
            .into_iter()
            .filter(|event| there.binary_search_by_key(&event.id, |other| other.id).is_err());
        let mut last: Vec<Logged> = removed.map(|event| Logged { event, removed: true }).collect();
        last.extend(there.iter().copied().map(kept));
        last.sort_by_key(|entry| entry.event.id);
        histories.push(last);
        Ok(StreamTruth {
            histories,
            removal,
            rolled_back: false,
        })
    }
}

/// A connection of the test's own to Redis.
pub async fn connect_redis(socket: &Path) -> redis::RedisResult<MultiplexedConnection> {
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(30)));
    let client = redis::Client::open(format!("unix://{}", socket.display()))?;
    client.get_multiplexed_async_connection_with_config(&config).await
}

fn kept(event: Event) -> Logged {
    Logged {
        event,
        removed: false,
    }
}

/// Every entry after `after`, in order.
async fn read(connection: &mut MultiplexedConnection, key: &str, after: EntryId) -> RedisResult<Vec<Event>> {
    let mut all: Vec<Event> = Vec::new();
    let mut after = after;
    loop {
        let value: Value = redis::cmd("XRANGE")
            .arg(key)
            .arg(format!("({after}"))
            .arg("+")
            .arg("COUNT")
            .arg(PAGE)
            .query_async(connection)
            .await?;
        let page = entries(value)?;
        let Some(last) = page.last() else {
            return Ok(all);
        };
        after = last.id;
        all.extend(page);
    }
}

fn entries(value: Value) -> RedisResult<Vec<Event>> {
    let entries: Vec<(String, HashMap<String, String>)> = FromRedisValue::from_redis_value(value)?;
    let event = |(id, fields): (String, HashMap<String, String>)| -> Event {
        let json = fields
            .get("d")
            .cloned()
            .unwrap_or_else(|| serde_json::json!(fields).to_string());
        let data: Data = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
        data.of(id.parse().unwrap())
            .unwrap_or_else(|| panic!("nobody published {json}"))
    };
    Ok(entries.into_iter().map(event).collect())
}
