//! The session records of a process that was given no Redis.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::ready;
use shared::SessionId;
use shared::limits::MEMORY_ENGINE_SESSIONS_MAX;

use super::clock::{MemoryClock, whole_ms};
use crate::Unavailable;
use crate::hub::lock;
use crate::sessions::{self, Generation, Saved, SessionCall, SessionError, Sessions, Taken, Touched};

/// Session records in memory: at most so many, each until it expires. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct MemorySessions(Arc<Shelf>);

#[derive(Debug)]
struct Shelf {
    clock: MemoryClock,
    sessions_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    records: HashMap<SessionId, Record>,
    /// The highest generation that was given: no two take-overs get the same.
    last: u64,
}

#[derive(Debug)]
struct Record {
    generation: Generation,
    record: Bytes,
    expires_ms: u64,
}

impl Default for Shelf {
    fn default() -> Self {
        Self {
            clock: MemoryClock::SYSTEM,
            sessions_max: MEMORY_ENGINE_SESSIONS_MAX,
            state: Mutex::default(),
        }
    }
}

impl MemorySessions {
    /// No sessions yet, and never more than `sessions_max`.
    pub fn new(clock: MemoryClock, sessions_max: usize) -> Self {
        Self(Arc::new(Shelf {
            clock,
            sessions_max,
            state: Mutex::default(),
        }))
    }

    /// Lets go what has expired.
    pub fn sweep(&self) {
        let now_ms = self.0.clock.now_ms();
        lock(&self.0.state).sweep(now_ms);
    }

    /// A call that is done when it is polled first.
    fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shelf) -> Result<T, SessionError> + Send + 'static,
    ) -> SessionCall<T> {
        let shelf = Arc::clone(&self.0);
        ready(()).map(move |()| work(&shelf)).boxed()
    }
}

impl Shelf {
    fn expires_ms(&self, ttl: Duration) -> u64 {
        // As `PEXPIRE` does: less than a millisecond is one.
        self.clock.now_ms().saturating_add(whole_ms(ttl).max(1))
    }

    fn store(
        &self,
        id: &SessionId,
        generation: Generation,
        record: Bytes,
        ttl: Duration,
    ) -> Result<Saved, SessionError> {
        sessions::admit(&record)?;
        let new = Record {
            generation,
            // Not a slice of something larger.
            record: Bytes::copy_from_slice(&record),
            expires_ms: self.expires_ms(ttl),
        };
        let mut state = lock(&self.state);
        let now_ms = self.clock.now_ms();
        if state.records.len() >= self.sessions_max && !state.records.contains_key(id) {
            state.sweep(now_ms);
            if state.records.len() >= self.sessions_max {
                return Err(Unavailable("there are as many sessions as there may be".into()).into());
            }
        }
        match state.records.entry(id.clone()) {
            Entry::Occupied(stored)
                if stored.get().expires_ms > now_ms && stored.get().generation > generation =>
            {
                return Ok(Saved::TakenOver);
            }
            Entry::Occupied(mut stored) => drop(stored.insert(new)),
            Entry::Vacant(vacant) => drop(vacant.insert(new)),
        }
        state.last = state.last.max(generation.0);
        Ok(Saved::Saved)
    }
}

impl State {
    fn sweep(&mut self, now_ms: u64) {
        self.records.retain(|_, record| record.expires_ms > now_ms);
        if self.records.capacity() > 4 * self.records.len() + 64 {
            self.records.shrink_to_fit();
        }
    }

    /// A record that has not expired.
    fn find(&mut self, id: &SessionId, now_ms: u64) -> Option<&mut Record> {
        self.records
            .get_mut(id)
            .filter(|record| record.expires_ms > now_ms)
    }
}

impl Sessions for MemorySessions {
    fn create(&self, id: &SessionId, record: Bytes, ttl: Duration) -> SessionCall<Generation> {
        let id = id.clone();
        self.call(
            move |shelf| match shelf.store(&id, Generation::FIRST, record, ttl)? {
                Saved::Saved => Ok(Generation::FIRST),
                Saved::TakenOver => Err(SessionError::Refused("there is such a session already".into())),
            },
        )
    }

    fn take_over(&self, id: &SessionId, ttl: Duration) -> SessionCall<Option<Taken>> {
        let id = id.clone();
        self.call(move |shelf| {
            let expires_ms = shelf.expires_ms(ttl);
            let mut state = lock(&shelf.state);
            let next = state.last.max(Generation::FIRST.0) + 1;
            let Some(stored) = state.find(&id, shelf.clock.now_ms()) else {
                return Ok(None);
            };
            stored.generation = Generation(next);
            stored.expires_ms = expires_ms;
            let record = stored.record.clone();
            state.last = next;
            Ok(Some(Taken {
                generation: Generation(next),
                record,
            }))
        })
    }

    fn save(
        &self,
        id: &SessionId,
        generation: Generation,
        record: Bytes,
        ttl: Duration,
    ) -> SessionCall<Saved> {
        let id = id.clone();
        self.call(move |shelf| shelf.store(&id, generation, record, ttl))
    }

    fn touch(&self, id: &SessionId, ttl: Duration) -> SessionCall<Touched> {
        let id = id.clone();
        self.call(move |shelf| {
            let expires_ms = shelf.expires_ms(ttl);
            match lock(&shelf.state).find(&id, shelf.clock.now_ms()) {
                Some(stored) => {
                    stored.expires_ms = expires_ms;
                    Ok(Touched::Known)
                }
                None => Ok(Touched::Gone),
            }
        })
    }

    fn end(&self, id: &SessionId, generation: Generation) -> SessionCall<()> {
        let id = id.clone();
        self.call(move |shelf| {
            let mut state = lock(&shelf.state);
            if let Entry::Occupied(stored) = state.records.entry(id)
                && stored.get().generation <= generation
            {
                stored.remove();
            }
            Ok(())
        })
    }
}
