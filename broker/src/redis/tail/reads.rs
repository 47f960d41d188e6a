//! How the tail reads streams that rang: many at once where nothing speaks against it, else with their counters.

use shared::StreamView;
use shared::limits::{LIVE_READ_ENTRIES_TOTAL, LIVE_READ_STREAMS_MAX, TAIL_VERIFY_STREAMS_MAX};
use tracing::debug;

use super::super::fault::Fault;
use super::super::wire::{Pipe, reply, request};
use super::followed::{Followed, Outcome, Plan};
use super::run::{Key, TailLoop, ask};

impl TailLoop {
    /// Reads a share of the dirty streams, each as its plan says.
    pub(super) async fn read_dirty(&mut self, pipe: &Pipe) -> Result<(), Fault> {
        let (mut fast, mut slow) = (Vec::new(), Vec::new());
        for _ in 0..self.dirty.len().min(LIVE_READ_STREAMS_MAX) {
            let Some(key) = self.dirty.pop_front() else { break };
            // One that was let go and is followed anew may stand in line twice.
            let followed = self.streams.get_mut(&key).filter(|followed| followed.queued);
            let Some(followed) = followed else { continue };
            followed.queued = false;
            match followed.plan() {
                Plan::Fast(_) => fast.push(key),
                Plan::Open | Plan::Verify(_) => slow.push(key),
            }
        }
        let read = async {
            self.read_fast(pipe, &fast).await?;
            for keys in slow.chunks(TAIL_VERIFY_STREAMS_MAX) {
                self.read_slow(pipe, keys).await?;
            }
            Ok(())
        }
        .await;
        if read.is_err() {
            // Whatever was not read is read again. Where the connection is gone, all streams are anyway.
            fast.iter().chain(&slow).for_each(|key| self.mark(key));
        }
        read
    }

    /// One `XREAD` over all these streams; in a cluster one for each, as they lie in different slots.
    async fn read_fast(&mut self, pipe: &Pipe, keys: &[Key]) -> Result<(), Fault> {
        if keys.is_empty() {
            return Ok(());
        }
        let streams = keys.iter().filter_map(|key| self.streams.get(key));
        let smallest = streams.map(Followed::entries_max).min().unwrap_or(1);
        let limit = smallest.min(LIVE_READ_ENTRIES_TOTAL / keys.len()).max(2);
        let groups = keys.chunks(self.group_max(keys));
        let replies = ask(pipe, |out| {
            let mut replies = 0;
            for group in groups.clone() {
                replies += request::ask_first(out, self.is_asking(group)) + 1;
                self.write_xread(out, group, limit);
            }
            replies
        });
        let replies = replies.await?;
        let mut replies = reply::all(&replies)?.into_iter();
        for group in groups {
            if self.is_asking(group) {
                replies.next();
            }
            let found = match reply::streams(replies.next().ok_or(Fault::Malformed)?) {
                Ok(found) => found,
                // One key of another type fails the whole command: each stream is read by itself then.
                Err(Fault::WrongType) => Vec::new(),
                Err(fault) => {
                    self.not_here(group, fault)?;
                    continue;
                }
            };
            let mut found = found.into_iter().peekable();
            // They come in the order in which they were asked for, without those that have nothing.
            for key in group {
                let list = found.next_if(|(name, _)| **name == **key).map(|(_, list)| list);
                let Some(followed) = self.streams.get_mut(key) else {
                    continue;
                };
                let entries = list.map_or_else(|| Ok(Vec::new()), |list| followed.arrivals(list))?;
                if followed.read_fast(entries, limit) == Outcome::Again {
                    self.mark(key);
                }
            }
        }
        Ok(())
    }

    fn write_xread(&self, out: &mut Vec<u8>, keys: &[Key], limit: usize) {
        request::begin(out, 4 + 2 * keys.len());
        request::argument(out, b"XREAD");
        request::argument(out, b"COUNT");
        request::number(out, limit);
        request::argument(out, b"STREAMS");
        for key in keys {
            request::argument(out, key);
        }
        for key in keys {
            // A stream that was let go meanwhile has nothing to be read, but its place.
            let plan = self.streams.get(key).map(Followed::plan);
            match plan {
                Some(Plan::Fast(after)) => request::argument(out, after.to_string().as_bytes()),
                _ => request::argument(out, b"$"),
            }
        }
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
    async fn read_slow(&mut self, pipe: &Pipe, keys: &[Key]) -> Result<(), Fault> {
        let limit_of = |followed: &Followed| followed.entries_max().min(LIVE_READ_ENTRIES_TOTAL / keys.len());
        let groups = keys.chunks(self.group_max(keys));
        let mut lengths = Vec::with_capacity(groups.len());
        let replies = ask(pipe, |out| {
            for group in groups.clone() {
                let mut length = request::ask_first(out, self.is_asking(group));
                out.extend_from_slice(request::MULTI);
                for key in group {
                    let Some(followed) = self.streams.get_mut(key) else {
                        continue;
                    };
                    request::command(out, &[b"XINFO", b"STREAM", key]);
                    length += 1;
                    if let Plan::Verify(after) = followed.plan() {
                        followed.verifying();
                        let (limit, after) = (limit_of(followed).to_string(), after.to_string());
                        let (limit, after) = (limit.as_bytes(), after.as_bytes());
                        request::command(out, &[b"XREAD", b"COUNT", limit, b"STREAMS", key, after]);
                        length += 1;
                    }
                }
                out.extend_from_slice(request::EXEC);
                lengths.push(length + 2);
            }
            lengths.iter().sum()
        });
        let replies = replies.await?;
        let replies = reply::all(&replies)?;
        let mut replies = &replies[..];
        for (group, length) in groups.zip(lengths) {
            let (own, others) = replies.split_at_checked(length).ok_or(Fault::Malformed)?;
            replies = others;
            let taken = match reply::executed(own) {
                Ok(replies) => self.take_slow(group, &replies, limit_of),
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
        replies: &[&[u8]],
        limit_of: impl Fn(&Followed) -> usize,
    ) -> Result<(), Fault> {
        let mut replies = replies.iter();
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
            let entries = match reply::streams(replies.next().ok_or(Fault::Malformed)?) {
                Ok(found) => found
                    .first()
                    .map_or_else(|| Ok(Vec::new()), |(_, list)| followed.arrivals(list))?,
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
fn view_or_absent(reply: &[u8]) -> Result<StreamView, Fault> {
    match reply::view(reply) {
        Err(Fault::WrongType) => {
            debug!("a followed key holds another type of value");
            Ok(StreamView::ABSENT)
        }
        view => view,
    }
}
