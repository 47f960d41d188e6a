//! What the engine holds under the name of one stream, behind that stream's lock: its history, its idempotency keys,
//! and the channel that follows it. Every change to the history tells the channel within the same lock.

use std::sync::Arc;

use shared::{Entry, EntryId, Event, StreamName, StreamView};

use super::clock::{Now, whole_ms};
use super::history::{History, next_id};
use super::keys::Keys;
use crate::{AppendError, Appended, Channel, Durability, Limits, NewEvent, Retention};

/// One stream name's state. `history` is `None` while the stream does not exist.
pub(super) struct Slot {
    stream: StreamName,
    retention: Retention,
    pub(super) history: Option<History>,
    appended_ms: u64,
    appended_turn: u64,
    keys: Keys,
    channel: Option<Arc<Channel>>,
    /// Set when the slot has left the directory: whoever still holds it looks the name up again.
    pub(super) retired: bool,
}

impl Slot {
    pub(super) fn new(stream: StreamName, retention: Retention) -> Self {
        Self {
            stream,
            retention,
            history: None,
            appended_ms: 0,
            appended_turn: 0,
            keys: Keys::default(),
            channel: None,
            retired: false,
        }
    }

    /// Whether nothing would be lost with it.
    pub(super) fn is_vacant(&self) -> bool {
        self.history.is_none() && self.keys.is_empty() && self.channel.is_none()
    }

    /// What it costs.
    pub(super) fn bytes(&self) -> usize {
        self.keys.bytes() + self.history.as_ref().map_or(0, History::bytes)
    }

    /// When it was last appended to, as a number that rises with every append to the log.
    pub(super) fn appended_turn(&self) -> u64 {
        self.appended_turn
    }

    pub(super) fn view(&self) -> StreamView {
        self.history.as_ref().map_or(StreamView::ABSENT, History::view)
    }

    /// Lets go what is past its time.
    pub(super) fn expire(&mut self, now_ms: u64, limits: &Limits) {
        self.keys.expire(now_ms, whole_ms(limits.idempotency_window));
        let idle_ms = now_ms.saturating_sub(self.appended_ms);
        if self
            .retention
            .idle_max
            .is_some_and(|max| idle_ms >= whole_ms(max))
        {
            self.replace(None);
        }
        if let (Some(history), Some(age_max)) = (&mut self.history, self.retention.age_max) {
            history.trim_below(EntryId::new(now_ms.saturating_sub(whole_ms(age_max)), 0));
        }
    }

    /// Appends in order, one result each, and publishes what was added.
    pub(super) fn append(
        &mut self,
        events: impl Iterator<Item = NewEvent>,
        now: Now,
        admit: impl Fn(&Event) -> Result<(), AppendError>,
    ) -> Vec<Result<Appended, AppendError>> {
        let mut added = Vec::new();
        let results = events
            .map(|event| {
                admit(&event.event)?;
                self.append_one(event, now, &mut added)
            })
            .collect();
        self.publish(&added);
        if let (Some(history), Some(entries_max)) = (&mut self.history, self.retention.entries_max) {
            history.trim_to(entries_max);
        }
        results
    }

    fn append_one(
        &mut self,
        NewEvent {
            event,
            key,
            durability,
        }: NewEvent,
        now: Now,
        added: &mut Vec<Arc<Entry>>,
    ) -> Result<Appended, AppendError> {
        if durability.is_some_and(|durability| durability != Durability::Primary) {
            let why = "the in-memory log has neither replicas nor a disk; ask for durability \"primary\", or use Redis";
            return Err(AppendError::Refused(why.into()));
        }
        if let Some(cursor) = key.as_ref().and_then(|key| self.keys.get(key)) {
            return Ok(Appended {
                cursor,
                duplicate: true,
            });
        }
        let entry = self.add(None, as_stored(event), now)?;
        let cursor = entry.cursor;
        added.push(entry);
        if let Some(key) = key {
            self.keys.remember(key, cursor, now.ms);
        }
        Ok(Appended {
            cursor,
            duplicate: false,
        })
    }

    /// Appends one entry at an ID of the caller's choice, or the next one, and publishes it; retention does not
    /// apply.
    pub(super) fn append_raw(
        &mut self,
        id: Option<EntryId>,
        event: Event,
        now: Now,
    ) -> Result<EntryId, AppendError> {
        let entry = self.add(id, event, now)?;
        let id = entry.id();
        self.publish(&[entry]);
        Ok(id)
    }

    fn add(&mut self, id: Option<EntryId>, event: Event, now: Now) -> Result<Arc<Entry>, AppendError> {
        let last = self.view().last_generated;
        let id = match id {
            Some(id) => id,
            None => next_id(last, now.ms)
                .ok_or_else(|| AppendError::Refused("the stream has no higher ID left".to_owned()))?,
        };
        if id <= last {
            let why = format!("the ID {id} is not above the last one of the stream, {last}");
            return Err(AppendError::Refused(why));
        }
        self.touch(now);
        let history = self.history.get_or_insert_default();
        Ok(history.append(&self.stream, id, event))
    }

    fn publish(&self, entries: &[Arc<Entry>]) {
        if let (Some(channel), false) = (&self.channel, entries.is_empty()) {
            channel.publish(entries);
        }
    }

    /// Puts another history in the place of this one, or none.
    pub(super) fn replace(&mut self, history: Option<History>) {
        if self.history.is_none() && history.is_none() {
            return;
        }
        self.history = history;
        let head = self.view().head();
        if let Some(channel) = &self.channel {
            channel.invalidate(head);
        }
    }

    /// Notes that it is appended to now: its idle time starts anew, and it is the last to make room.
    pub(super) fn touch(&mut self, now: Now) {
        self.appended_ms = now.ms;
        self.appended_turn = now.turn;
    }

    /// Drops what is oldest until it costs `level_bytes` or less: entries, each with its key. Returns how many
    /// entries went.
    pub(super) fn shrink_to(&mut self, level_bytes: usize) -> u64 {
        let mut dropped = 0;
        while self.bytes() > level_bytes {
            let oldest = self.history.as_ref().and_then(History::oldest);
            match (self.keys.oldest(), oldest) {
                (Some(key), entry) if entry.is_none_or(|entry| key <= entry) => self.keys.forget_oldest(),
                (_, Some(_)) => {
                    self.history.as_mut().map(History::drop_oldest);
                    dropped += 1;
                }
                (_, None) => break,
            }
        }
        dropped
    }

    /// Opens `channel` at the head and publishes to it from here on.
    pub(super) fn watch(&mut self, channel: &Arc<Channel>) {
        channel.open(self.view().head());
        self.channel = Some(Arc::clone(channel));
    }

    /// Ends that, unless another channel has taken its place.
    pub(super) fn unwatch(&mut self, channel: &Arc<Channel>) {
        if self
            .channel
            .as_ref()
            .is_some_and(|ours| Arc::ptr_eq(ours, channel))
        {
            self.channel = None;
        }
    }
}

/// What a reader gets back of an event: an empty text is stored as none, and only an array can be spread.
pub(super) fn as_stored(mut event: Event) -> Event {
    event.spread = event.is_spread();
    for text in [
        &mut event.name,
        &mut event.user,
        &mut event.session,
        &mut event.trace,
    ] {
        if text.as_ref().is_some_and(|text| text.as_bytes().is_empty()) {
            *text = None;
        }
    }
    event
}
