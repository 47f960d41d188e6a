//! How the tail reads streams that rang: many at once where nothing speaks against it, else with their counters.

use std::collections::HashMap;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Cmd, Pipeline, Value, cmd};
use shared::StreamView;
use shared::limits::{LIVE_READ_ENTRIES_TOTAL, LIVE_READ_STREAMS_MAX, TAIL_VERIFY_STREAMS_MAX};
use tracing::debug;

use super::super::fault::Fault;
use super::super::parse::{self, RawEntry};
use super::super::topology::ask_first;
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

    /// One `XREAD` over all these streams; in a cluster one for each, as they lie in different slots.
    async fn read_fast(&mut self, connection: &mut MultiplexedConnection, keys: &[Key]) -> Result<(), Fault> {
        if keys.is_empty() {
            return Ok(());
        }
        let streams = keys.iter().filter_map(|key| self.streams.get(key));
        let smallest = streams.map(Followed::entries_max).min().unwrap_or(1);
        let limit = smallest.min(LIVE_READ_ENTRIES_TOTAL / keys.len()).max(2);
        let groups = keys.chunks(self.group_max(keys));
        let mut pipe = Pipeline::with_capacity(groups.len());
        for group in groups.clone() {
            ask_first(&mut pipe, self.is_asking(group));
            pipe.add_command(self.xread(group, limit));
        }
        let replies = connection.req_packed_commands(&pipe, 0, pipe.len()).await;
        let mut replies = replies.map_err(|e| Fault::of(&e))?.into_iter();
        for group in groups {
            if self.is_asking(group) {
                replies.next();
            }
            let found = match parse::streams(replies.next().ok_or(Fault::Malformed)?) {
                Ok(found) => found,
                // One key of another type fails the whole command: each stream is read by itself then.
                Err(Fault::WrongType) => Vec::new(),
                Err(fault) => {
                    self.not_here(group, fault)?;
                    continue;
                }
            };
            let mut found: HashMap<Vec<u8>, Vec<RawEntry>> = found.into_iter().collect();
            for key in group {
                let Some(followed) = self.streams.get_mut(key) else {
                    continue;
                };
                if followed.read_fast(found.remove(&**key).unwrap_or_default(), limit) == Outcome::Again {
                    self.mark(key);
                }
            }
        }
        Ok(())
    }

    fn xread(&self, keys: &[Key], limit: usize) -> Cmd {
        let mut command = cmd("XREAD");
        command.arg("COUNT").arg(limit).arg("STREAMS");
        for key in keys {
            command.arg(&**key);
        }
        for followed in keys.iter().filter_map(|key| self.streams.get(key)) {
            if let Plan::Fast(after) = followed.plan() {
                command.arg(after.to_string());
            }
        }
        command
    }

    /// How many streams may be read by one command or in one transaction.
    fn group_max(&self, keys: &[Key]) -> usize {
        if self.guide.in_cluster() {
            1
        } else {
            keys.len().max(1)
        }
    }

    /// Whether the node must be told that another one sends us for these.
    fn is_asking(&self, group: &[Key]) -> bool {
        let first = group.first().and_then(|key| self.streams.get(key));
        first.is_some_and(|followed| followed.asking)
    }

    /// These streams could not be read: if they are elsewhere, that is all; else the connection is of no use.
    fn not_here(&self, group: &[Key], fault: Fault) -> Result<(), Fault> {
        for followed in group.iter().filter_map(|key| self.streams.get(key)) {
            match &fault {
                Fault::Moved(redirect) => self.guide.misplaced(&followed.channel, redirect),
                // Their check comes soon.
                Fault::TryAgain => {}
                fault => return Err(fault.clone()),
            }
        }
        Ok(())
    }

    /// A transaction over a few streams that reads their counters and their entries; in a cluster one for each.
    async fn read_slow(&mut self, connection: &mut MultiplexedConnection, keys: &[Key]) -> Result<(), Fault> {
        let limit_of = |followed: &Followed| followed.entries_max().min(LIVE_READ_ENTRIES_TOTAL / keys.len());
        let groups = keys.chunks(self.group_max(keys));
        let mut pipe = Pipeline::new();
        let mut lengths = Vec::with_capacity(groups.len());
        for group in groups.clone() {
            let before = pipe.len();
            ask_first(&mut pipe, self.is_asking(group));
            pipe.cmd("MULTI");
            for key in group {
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
            pipe.cmd("EXEC");
            lengths.push(pipe.len() - before);
        }
        let replies = connection.req_packed_commands(&pipe, 0, pipe.len()).await;
        let mut replies = replies.map_err(|e| Fault::of(&e))?.into_iter();
        for (group, length) in groups.zip(lengths) {
            let replies: Vec<Value> = replies.by_ref().take(length).collect();
            let taken = match parse::executed(replies) {
                Ok(replies) => self.take_slow(group, replies, limit_of),
                Err(fault) => Err(fault),
            };
            taken.or_else(|fault| self.not_here(group, fault))?;
        }
        Ok(())
    }

    /// What a transaction over these streams has brought.
    fn take_slow(
        &mut self,
        group: &[Key],
        replies: Vec<Value>,
        limit_of: impl Fn(&Followed) -> usize,
    ) -> Result<(), Fault> {
        let mut replies = replies.into_iter();
        for key in group {
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
