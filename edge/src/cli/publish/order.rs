//! Whether published lines stand in the stream in the order of the input. It only looks at places; it changes
//! nothing.

use std::collections::BTreeMap;

use shared::EntryId;

/// The places of published lines, as far as a line that is still open could come before or behind them.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// The highest place of the lines before the first open one.
    settled: Option<EntryId>,
    /// Of the lines behind the first open one: number and place.
    beyond: BTreeMap<u64, EntryId>,
}

impl Order {
    /// Line `number` has the place `id`; `first_open` is the first line that is not acknowledged yet. Returns whether
    /// the line is out of order: not behind every earlier one and before every later one that is published.
    ///
    /// IDs rise in a stream. An edge, or the log behind it, that took a later line before one that had to be tried
    /// again shows by that.
    pub(super) fn is_misplaced(&mut self, number: u64, id: EntryId, first_open: Option<u64>) -> bool {
        let earlier = self.beyond.range(..number).map(|(_, place)| *place);
        let mut later = self.beyond.range(number..).map(|(_, place)| *place);
        let misplaced =
            earlier.chain(self.settled).any(|place| place >= id) || later.any(|place| place <= id);
        self.beyond.insert(number, id);
        while let Some(entry) = self.beyond.first_entry()
            && first_open.is_none_or(|open| *entry.key() < open)
        {
            self.settled = self.settled.max(Some(entry.remove()));
        }
        misplaced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(ms: u64) -> EntryId {
        EntryId::new(ms, 0)
    }

    #[test]
    fn a_line_in_its_order_is_not_remembered() {
        let mut order = Order::default();
        assert!(!order.is_misplaced(1, id(10), Some(2)));
        assert!(!order.is_misplaced(2, id(11), Some(3)));
        assert!(order.beyond.is_empty());
        assert!(order.is_misplaced(3, id(9), None));
    }

    #[test]
    fn an_open_line_may_have_its_place_before_the_later_ones_or_not() {
        let mut order = Order::default();
        assert!(!order.is_misplaced(2, id(11), Some(1)));
        assert!(!order.is_misplaced(4, id(13), Some(1)));
        assert!(
            !order.is_misplaced(1, id(10), Some(3)),
            "an earlier attempt had succeeded"
        );
        assert!(order.is_misplaced(3, id(14), None));
    }
}
