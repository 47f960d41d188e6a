//! Where each edge is: `weir:edge:{ID}` holds its address, with a time to live. And what all edges share:
//! `weir:cluster:{secret}` holds their secret in Base64 for URLs (RFC 4648, section 5).

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use futures_util::FutureExt;
use redis::{Cmd, Value, cmd};
use shared::EdgeId;
use shared::limits::EDGE_ADDRESS_BYTES_MAX;

use super::super::fault::Fault;
use super::super::keys::KeyTemplate;
use super::calls::{Records, ttl_ms};
use crate::Unavailable;
use crate::edges::{ClusterSecret, EdgeCall, Edges};

/// The edges that share this Redis.
pub(in super::super) struct RedisEdges {
    records: Arc<Records>,
    keys: KeyTemplate,
}

impl RedisEdges {
    pub(in super::super) fn new(records: Arc<Records>, keys: KeyTemplate) -> Self {
        Self { records, keys }
    }

    fn key(&self, edge: EdgeId) -> String {
        self.keys.apart("edge", edge.as_str())
    }

    fn call<T: Send + 'static>(
        &self,
        key: String,
        command: Cmd,
        meaning: impl FnOnce(Value) -> Result<T, Fault> + Send + 'static,
    ) -> EdgeCall<T> {
        let records = self.records.clone();
        async move {
            let reply = records.command(&key, &command).await;
            reply.and_then(meaning).map_err(Fault::into_unavailable)
        }
        .boxed()
    }
}

impl Edges for RedisEdges {
    fn announce(&self, edge: EdgeId, address: &str, ttl: Duration) -> EdgeCall<()> {
        if address.len() > EDGE_ADDRESS_BYTES_MAX {
            let why = "the address of this edge is too long to be announced";
            return std::future::ready(Err(Unavailable(why.into()))).boxed();
        }
        let key = self.key(edge);
        let mut set = cmd("SET");
        set.arg(&key).arg(address).arg("PX").arg(ttl_ms(ttl));
        self.call(key, set, |_| Ok(()))
    }

    fn find(&self, edge: EdgeId) -> EdgeCall<Option<String>> {
        let key = self.key(edge);
        let get = cmd("GET").arg(&key).take();
        self.call(key, get, |reply| match reply {
            Value::Nil => Ok(None),
            Value::BulkString(address) if address.len() <= EDGE_ADDRESS_BYTES_MAX => {
                Ok(String::from_utf8(address).ok())
            }
            _ => Err(Fault::Malformed),
        })
    }

    fn withdraw(&self, edge: EdgeId) -> EdgeCall<()> {
        let key = self.key(edge);
        let del = cmd("DEL").arg(&key).take();
        self.call(key, del, |_| Ok(()))
    }

    fn cluster_secret(&self, proposed: ClusterSecret) -> EdgeCall<ClusterSecret> {
        let key = self.keys.apart("cluster", "secret");
        let mut set = cmd("SET");
        set.arg(&key)
            .arg(BASE64URL.encode(proposed.as_bytes()))
            .arg("NX")
            .arg("GET");
        self.call(key, set, move |reply| match reply {
            Value::Nil => Ok(proposed),
            Value::BulkString(text) => decode(&text).ok_or(Fault::Malformed),
            _ => Err(Fault::Malformed),
        })
    }
}

/// The secret that is stored as `text`.
fn decode(text: &[u8]) -> Option<ClusterSecret> {
    let bytes = BASE64URL.decode(text).ok()?;
    Some(ClusterSecret::from_random(bytes.try_into().ok()?))
}
