//! Session records: `weir:session:{ID}` is a hash of the generation (`g`) and the record (`r`), with a time to live.
//! Everything that reads before it writes is a script.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use redis::{Value, cmd};
use shared::SessionId;

use super::super::fault::Fault;
use super::super::keys::KeyTemplate;
use super::super::parse;
use super::calls::{Records, Script, ttl_ms};
use crate::sessions::{Generation, Saved, SessionCall, SessionError, Sessions, Taken, Touched, admit};

static TAKE_OVER: Script = Script::new(include_str!("take_over.lua"));
static SAVE: Script = Script::new(include_str!("save.lua"));
static END: Script = Script::new(include_str!("end.lua"));

/// The session records of all edges on this Redis.
pub(in super::super) struct RedisSessions {
    records: Arc<Records>,
    keys: KeyTemplate,
}

impl RedisSessions {
    pub(in super::super) fn new(records: Arc<Records>, keys: KeyTemplate) -> Self {
        Self { records, keys }
    }

    fn key(&self, id: &SessionId) -> String {
        self.keys.apart("session", id.as_str())
    }

    fn store(
        &self,
        id: &SessionId,
        generation: Generation,
        record: Bytes,
        ttl: Duration,
    ) -> impl Future<Output = Result<Saved, SessionError>> + Send + 'static {
        let (records, key) = (self.records.clone(), self.key(id));
        async move {
            admit(&record)?;
            let (generation, ttl) = (generation.0.to_string(), ttl_ms(ttl));
            let arguments = [generation.as_bytes(), &record, ttl.as_bytes()];
            let reply = records.script(&SAVE, &key, &arguments).await;
            match reply.and_then(|reply| parse::count(&reply)) {
                Ok(1) => Ok(Saved::Saved),
                Ok(_) => Ok(Saved::TakenOver),
                Err(fault) => Err(fault.into_session_error()),
            }
        }
    }
}

impl Sessions for RedisSessions {
    fn create(&self, id: &SessionId, record: Bytes, ttl: Duration) -> SessionCall<Generation> {
        self.store(id, Generation::FIRST, record, ttl)
            .map(|saved| match saved? {
                Saved::Saved => Ok(Generation::FIRST),
                Saved::TakenOver => Err(SessionError::Refused("there is such a session already".into())),
            })
            .boxed()
    }

    fn take_over(&self, id: &SessionId, ttl: Duration) -> SessionCall<Option<Taken>> {
        let (records, key) = (self.records.clone(), self.key(id));
        async move {
            let ttl = ttl_ms(ttl);
            match records.script(&TAKE_OVER, &key, &[ttl.as_bytes()]).await {
                Ok(reply) => taken(reply).map_err(Fault::into_session_error),
                // Whatever it is, it is no session.
                Err(Fault::WrongType) => Ok(None),
                Err(fault) => Err(fault.into_session_error()),
            }
        }
        .boxed()
    }

    fn save(
        &self,
        id: &SessionId,
        generation: Generation,
        record: Bytes,
        ttl: Duration,
    ) -> SessionCall<Saved> {
        self.store(id, generation, record, ttl).boxed()
    }

    fn touch(&self, id: &SessionId, ttl: Duration) -> SessionCall<Touched> {
        let (records, key) = (self.records.clone(), self.key(id));
        async move {
            let command = cmd("PEXPIRE").arg(&key).arg(ttl_ms(ttl)).take();
            let reply = records.command(&key, &command).await;
            match reply.and_then(|reply| parse::count(&reply)) {
                Ok(0) => Ok(Touched::Gone),
                Ok(_) => Ok(Touched::Known),
                Err(fault) => Err(fault.into_session_error()),
            }
        }
        .boxed()
    }

    fn end(&self, id: &SessionId, generation: Generation) -> SessionCall<()> {
        let (records, key) = (self.records.clone(), self.key(id));
        async move {
            let generation = generation.0.to_string();
            match records.script(&END, &key, &[generation.as_bytes()]).await {
                // Whatever it is, it is no session.
                Ok(_) | Err(Fault::WrongType) => Ok(()),
                Err(fault) => Err(fault.into_session_error()),
            }
        }
        .boxed()
    }
}

/// What `take_over.lua` returned.
fn taken(reply: Value) -> Result<Option<Taken>, Fault> {
    let mut parts = match reply {
        Value::Nil => return Ok(None),
        reply => parse::array(reply)?.into_iter(),
    };
    match (parts.next(), parts.next(), parts.next()) {
        (Some(generation), Some(Value::BulkString(record)), None) => Ok(Some(Taken {
            generation: Generation(parse::count(&generation)?),
            record: Bytes::from(record),
        })),
        _ => Err(Fault::Malformed),
    }
}
