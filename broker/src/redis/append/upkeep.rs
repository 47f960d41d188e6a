//! When a stream is due for what retention needs beside the length limit: trimming by age, and a new expiry. Doing
//! either with every append would cost more than the append.

use std::collections::HashMap;
use std::time::Duration;

use shared::limits::UPKEEP_STREAMS_MAX;
use shared::{EntryId, StreamName};
use tokio::time::Instant;

use crate::Retention;

/// A stream is trimmed by age, and its expiry renewed, in steps of this part of the age or the idle time.
const STEPS: u32 = 20;
/// A stream is trimmed by age so often at the least, while it is appended to.
const TRIM_INTERVAL_MAX: Duration = Duration::from_secs(60);

/// What goes along with an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Chores {
    /// The stream's length is kept to about this.
    pub(super) entries_max: Option<u64>,
    /// Entries below this ID are too old.
    pub(super) trim_below: Option<EntryId>,
    /// The stream expires after so many milliseconds: the idle time, and how late its renewal may come.
    pub(super) expiry_ms: Option<u64>,
    /// Whether the expiry is to be renewed now; one that is new needs it in any case.
    pub(super) expiry_due: bool,
}

/// Remembers, for the streams that were appended to of late, when they are due.
#[derive(Default)]
pub(super) struct Upkeep {
    streams: HashMap<StreamName, Due>,
}

#[derive(Default)]
struct Due {
    trim_at: Option<Instant>,
    expire_at: Option<Instant>,
    newest_ms: Option<u64>,
}

impl Upkeep {
    /// What is due with the next append to `stream`; it counts as done from now on.
    pub(super) fn due(
        &mut self,
        stream: &StreamName,
        retention: &Retention,
        now: Instant,
        now_ms: u64,
    ) -> Chores {
        let mut chores = Chores {
            entries_max: retention.entries_max,
            expiry_ms: expiry_ms(retention),
            ..Chores::default()
        };
        if retention.age_max.is_none() && retention.idle_max.is_none() {
            return chores;
        }
        if self.streams.len() >= UPKEEP_STREAMS_MAX && !self.streams.contains_key(stream) {
            // Costs each stream one round of chores too many, which is cheaper than to know the oldest.
            self.streams.clear();
        }
        let due = self.streams.entry(stream.clone()).or_default();
        // Until an append has shown the server's clock nothing is trimmed: ours may be far ahead of it. An ID may
        // be far ahead too, if others chose it; so the earlier one counts.
        if let (Some(age), Some(newest_ms)) = (retention.age_max, due.newest_ms)
            && due.trim_at.is_none_or(|at| at <= now)
        {
            due.trim_at = Some(now + (age / STEPS).min(TRIM_INTERVAL_MAX));
            let oldest_ms = newest_ms.min(now_ms).saturating_sub(millis(age));
            chores.trim_below = Some(EntryId::new(oldest_ms, 0));
        }
        if let Some(idle) = retention.idle_max
            && due.expire_at.is_none_or(|at| at <= now)
        {
            due.expire_at = Some(now + idle / STEPS);
            chores.expiry_due = true;
        }
        chores
    }

    /// An append was answered: `newest` is the ID it was given.
    pub(super) fn appended(&mut self, stream: &StreamName, newest: EntryId) {
        if let Some(due) = self.streams.get_mut(stream) {
            due.newest_ms = Some(newest.ms);
        }
    }

    /// What was due may not have been done.
    pub(super) fn forget(&mut self, stream: &StreamName) {
        self.streams.remove(stream);
    }

    /// The server may have lost everything.
    pub(super) fn forget_all(&mut self) {
        self.streams.clear();
    }
}

/// See [`Chores::expiry_ms`].
pub(super) fn expiry_ms(retention: &Retention) -> Option<u64> {
    retention.idle_max.map(|idle| millis(idle + idle / STEPS).max(1))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const AGE: Duration = Duration::from_secs(200);
    const NOW_MS: u64 = 1_700_000_000_000;

    fn both() -> Retention {
        Retention {
            entries_max: Some(7),
            age_max: Some(AGE),
            idle_max: Some(AGE),
        }
    }

    #[test]
    fn chores_are_due_once_per_step() {
        let stream: StreamName = "doc:1".parse().unwrap();
        let (mut upkeep, start) = (Upkeep::default(), Instant::now());
        let first = upkeep.due(&stream, &both(), start, NOW_MS);
        assert_eq!((first.entries_max, first.expiry_ms), (Some(7), Some(210_000)));
        assert!(first.expiry_due);
        assert_eq!(first.trim_below, None, "the server's clock is not known yet");
        upkeep.appended(&stream, EntryId::new(NOW_MS - 5, 3));
        let second = upkeep.due(&stream, &both(), start, NOW_MS);
        assert!(!second.expiry_due);
        assert_eq!(second.trim_below, Some(EntryId::new(NOW_MS - 200_005, 0)));
        let third = upkeep.due(&stream, &both(), start, NOW_MS);
        assert!(third.trim_below.is_none() && !third.expiry_due && third.expiry_ms.is_some());
        let later = upkeep.due(&stream, &both(), start + AGE / STEPS, NOW_MS);
        assert!(later.trim_below.is_some() && later.expiry_due);
        upkeep.forget(&stream);
        assert!(upkeep.due(&stream, &both(), start, NOW_MS).expiry_due);
    }

    #[test]
    fn an_id_from_the_future_trims_nothing_more() {
        let stream: StreamName = "doc:1".parse().unwrap();
        let (mut upkeep, start) = (Upkeep::default(), Instant::now());
        upkeep.due(&stream, &both(), start, NOW_MS);
        upkeep.appended(&stream, EntryId::new(NOW_MS * 2, 0));
        let chores = upkeep.due(&stream, &both(), start, NOW_MS);
        assert_eq!(chores.trim_below, Some(EntryId::new(NOW_MS - 200_000, 0)));
    }

    #[test]
    fn it_remembers_a_bounded_number_of_streams() {
        let (mut upkeep, now) = (Upkeep::default(), Instant::now());
        for n in 0..UPKEEP_STREAMS_MAX + 10 {
            upkeep.due(&format!("doc:{n}").parse().unwrap(), &both(), now, NOW_MS);
        }
        assert!(upkeep.streams.len() <= UPKEEP_STREAMS_MAX);
    }
}
