//! The subscriber that follows the stream live.

use std::time::Duration;

use broker::Delivery;
use shared::{EntryId, Ordinal};

use super::world::World;
use crate::{Fixture, in_time, value};

impl<F: Fixture> World<'_, F> {
    /// The subscriber takes everything there is.
    pub(super) async fn live(&mut self) {
        if self.tail_doubtful {
            // The tail may hold what the stream held before it was replaced until it has seen the new one; what comes
            // behind an event that is added after that is of the new one for sure.
            self.take_all().await;
            in_time("the tail to see the new history", async {
                let head = || {
                    self.log
                        .hub()
                        .channel(&self.stream)
                        .and_then(|channel| channel.head())
                };
                while head() != Some(self.model.head()) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            })
            .await;
            self.publish(1).await;
            self.take_all().await;
            self.tail_doubtful = false;
        }
        self.take_all().await;
    }

    /// Each event that exists after the subscriber's place must come, and be it after a reset.
    pub(super) async fn take_all(&mut self) {
        let start = self.tail.position(&self.stream);
        let due: Vec<_> = self
            .model
            .after(self.tail_reach())
            .map(|item| item.value)
            .collect();
        let (mut numbers, mut lost_sum, mut reset) = (Vec::new(), 0, false);
        while !self.tail_is_at_head() {
            match self.tail.next().await {
                Delivery::Event(entry) => numbers.push(value(&entry)),
                Delivery::Gap { lost, .. } => lost_sum += lost,
                Delivery::Reset { .. } => reset = true,
                Delivery::CaughtUp { .. } => {}
                other => panic!("{other:?} was not asked for"),
            }
        }
        let missed: Vec<_> = due.iter().filter(|value| !numbers.contains(value)).collect();
        // What was deleted when it was read, and came back with a roll-back, was told as lost.
        let told = self.tail_doubtful && (reset || missed.len() as u64 <= lost_sum);
        assert!(
            missed.is_empty() || told,
            "{missed:?} after {start}: got {numbers:?}, {lost_sum} told lost"
        );
        if !self.tail_doubtful {
            assert!(!reset, "nobody is sent back without a reason");
            let Ordinal(n) = start.ordinal.unwrap();
            assert_eq!(
                n + numbers.len() as u64 + lost_sum,
                self.model.added(),
                "came or was told lost"
            );
        }
        self.tail_rest = (self.model.head(), self.tail.position(&self.stream));
    }

    /// Up to where the subscriber has everything.
    pub(super) fn tail_reach(&self) -> EntryId {
        let at = self.tail.position(&self.stream);
        let (end, then) = self.tail_rest;
        if at == then { end.id.max(at.id) } else { at.id }
    }

    pub(super) fn tail_is_at_head(&self) -> bool {
        let (at, head) = (self.tail.position(&self.stream), self.model.head());
        at.ordinal == head.ordinal && at.id <= head.id && self.model.after(self.tail_reach()).next().is_none()
    }
}
