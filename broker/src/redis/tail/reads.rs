//! How the tail reads streams that rang: many at once where nothing speaks against it, else with their counters.

use std::collections::HashMap;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Pipeline, Value, cmd};
use shared::StreamView;
use shared::limits::{LIVE_READ_ENTRIES_TOTAL, LIVE_READ_STREAMS_MAX, TAIL_VERIFY_STREAMS_MAX};
use tracing::debug;

use super::super::fault::Fault;
use super::super::parse::{self, RawEntry};
use super::followed::{Followed, Outcome, Plan};
use super::run::{Key, TailLoop};

impl TailLoop {
    /// Reads a share of the dirty streams, each as its plan says.
    pub(super) async fn read_dirty(&mut self, connection: &mut MultiplexedConnection) -> Result<(), Fault> {
        let (mut fast, mut slow) = (Vec::new(), Vec::new());
        for _ in 0..self.dirty.len().min(LIVE_READ_STREAMS_MAX) {
            let Some(key) = self.dirty.pop_front() else { break };
            let Some(followed) = self.streams.get_mut(&key) else {
                continue;
            };
            followed.queued = false;
            match followed.plan() {
                Plan::Fast(_) => fast.push(key),
                Plan::Open | Plan::Verify(_) => slow.push(key),
            }
        }
        let read = async {
            self.read_fast(connection, &fast).await?;
            for keys in slow.chunks(TAIL_VERIFY_STREAMS_MAX) {
                self.read_slow(connection, keys).await?;
            }
            Ok(())
        }
        .await;
        if read.is_err() {
            // Whatever was not read is read after the connection is back.
            fast.iter().chain(&slow).for_each(|key| self.mark(key));
        }
        read
    }

    /// One `XREAD` over all these streams.
    async fn read_fast(&mut self, connection: &mut MultiplexedConnection, keys: &[Key]) -> Result<(), Fault> {
        if keys.is_empty() {
            return Ok(());
        }
        let streams = || keys.iter().filter_map(|key| self.streams.get(key));
        let smallest = streams().map(Followed::entries_max).min().unwrap_or(1);
        let limit = smallest.min(LIVE_READ_ENTRIES_TOTAL / keys.len()).max(2);
        let mut command = cmd("XREAD");
        command.arg("COUNT").arg(limit).arg("STREAMS");
        for key in keys {
            command.arg(&**key);
        }
        for followed in streams() {
            if let Plan::Fast(after) = followed.plan() {
                command.arg(after.to_string());
            }
        }
        let reply = connection
            .req_packed_command(&command)
            .await
            .map_err(|e| Fault::of(&e));
        let found = match reply.and_then(parse::streams) {
            Ok(found) => found,
            // One key of another type fails the whole command: each stream is read by itself then.
            Err(Fault::WrongType) => Vec::new(),
            Err(fault) => return Err(fault),
        };
        let mut found: HashMap<Vec<u8>, Vec<RawEntry>> = found.into_iter().collect();
        for key in keys {
            let Some(followed) = self.streams.get_mut(key) else {
                continue;
            };
            if followed.read_fast(found.remove(&**key).unwrap_or_default(), limit) == Outcome::Again {
                self.mark(key);
            }
        }
        Ok(())
    }

    /// One transaction over a few streams that reads their counters and their entries.
    async fn read_slow(&mut self, connection: &mut MultiplexedConnection, keys: &[Key]) -> Result<(), Fault> {
        let limit_of = |followed: &Followed| followed.entries_max().min(LIVE_READ_ENTRIES_TOTAL / keys.len());
        let mut pipe = Pipeline::new();
        pipe.atomic();
        for key in keys {
            let Some(followed) = self.streams.get_mut(key) else {
                continue;
            };
            pipe.cmd("XINFO").arg("STREAM").arg(&**key);
            if let Plan::Verify(after) = followed.plan() {
                followed.verifying();
                let limit = limit_of(followed);
                pipe.cmd("XREAD")
                    .arg("COUNT")
                    .arg(limit)
                    .arg("STREAMS")
                    .arg(key)
                    .arg(after.to_string());
            }
        }
        if pipe.is_empty() {
            return Ok(());
        }
        let replies = connection.req_packed_commands(&pipe, pipe.len() + 1, 1).await;
        let exec = replies
            .map_err(|e| Fault::of(&e))?
            .pop()
            .ok_or(Fault::Malformed)?;
        let mut replies = parse::array(exec)?.into_iter();
        for key in keys {
            let Some(followed) = self.streams.get_mut(key) else {
                continue;
            };
            let verify = matches!(followed.plan(), Plan::Verify(_));
            let view = view_or_absent(replies.next().ok_or(Fault::Malformed)?)?;
            if !verify {
                followed.opened(&view);
                continue;
            }
            let limit = limit_of(followed);
            let entries = match parse::streams(replies.next().ok_or(Fault::Malformed)?) {
                Ok(found) => found
                    .into_iter()
                    .next()
                    .map(|(_, entries)| entries)
                    .unwrap_or_default(),
                Err(Fault::WrongType) => Vec::new(),
                Err(fault) => return Err(fault),
            };
            if followed.read_verified(&view, entries, limit) == Outcome::Again {
                self.mark(key);
            }
        }
        Ok(())
    }
}

/// A key that holds something else holds no stream: to its readers the stream is gone.
fn view_or_absent(reply: Value) -> Result<StreamView, Fault> {
    match parse::view(reply) {
        Err(Fault::WrongType) => {
            debug!("a followed key holds another type of value");
            Ok(StreamView::ABSENT)
        }
        view => view,
    }
}
