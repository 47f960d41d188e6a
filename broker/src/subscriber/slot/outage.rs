//! What the reader is told while the log is away, and when it is back: each once, the first before the second.
//!
//! That it is away is told before anything else, as what is held need not be all. That it is back is told in its place:
//! behind what was published before that was so, or for a subscription that reads history, behind the first page.

use super::{ITEM_BYTES, Slot};
use crate::Delivery;

impl Slot {
    /// Tells that the log is away, if the reader does not know. An outage that began and ended while the reader could take
    /// nothing is none to it; of one that follows another, it is as if both were one.
    pub(in super::super) fn tell_degraded(&mut self, out: &mut Vec<Delivery>, left: &mut usize) -> bool {
        let sight = self.place.channel.sight();
        if sight == self.told {
            return false;
        }
        match (self.told.is_lost(), sight.is_lost()) {
            // That it is back is told in its place.
            (true, false) => return false,
            (true, true) | (false, false) => {
                self.told = sight;
                return false;
            }
            (false, true) => self.told = sight,
        }
        let Some(since_ms) = self.place.channel.degraded_since_ms() else {
            // Over again, a moment ago: as if it had not been.
            self.told = sight.untold();
            return false;
        };
        *left = left.saturating_sub(ITEM_BYTES);
        out.push(Delivery::Degraded {
            stream: self.stream().clone(),
            since_ms,
        });
        true
    }

    /// Whether the reader believes that the log is away, and it is not.
    pub(super) fn is_restored(&self) -> bool {
        self.told.is_lost() && !self.place.channel.is_degraded()
    }

    /// Tells that the log is back, unless that is not so any more or was told.
    pub(super) fn tell_restored(&mut self, out: &mut Vec<Delivery>) {
        let sight = self.place.channel.sight();
        if sight.is_lost() || !self.told.is_lost() {
            return;
        }
        self.told = sight;
        out.push(Delivery::Restored {
            stream: self.stream().clone(),
            cursor: self.delivered,
        });
    }
}
