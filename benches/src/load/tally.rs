//! What came: how many, how late, and whether all of it once and in order.

use hdrhistogram::Histogram;

use super::payload::Stamp;

/// Latencies up to this are told apart; longer ones count as this.
const LATENCY_US_MAX: u64 = 120_000_000;

/// An empty histogram of latencies, in microseconds, exact to three digits.
pub(super) fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).unwrap_or_else(|_| unreachable!("the bounds are valid"))
}

/// Which events of the run are counted, and of how many the latency is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// The first event's number.
    pub(super) first: u64,
    /// The number behind the last one's.
    pub(super) end: u64,
    /// The latency of every so many is taken.
    pub(super) every: u64,
}

/// What came on some connections.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    window: Window,
    /// Events of the window that came.
    pub(super) delivered: u64,
    /// Their latencies, of as many as the window says.
    pub(super) latency: Histogram<u64>,
    /// Events of the run that were passed over: whatever the window.
    pub(super) missing: u64,
    /// Events of the run that came after a later one, or again.
    pub(super) doubled: u64,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            window: Window {
                first: 0,
                end: 0,
                every: 1,
            },
            delivered: 0,
            latency: latencies(),
            missing: 0,
            doubled: 0,
        }
    }

    /// Counts anew, in another window. What is missing or doubled stays.
    pub(super) fn begin(&mut self, window: Window) {
        self.window = window;
        self.delivered = 0;
        self.latency.reset();
    }

    /// Adds what came elsewhere.
    pub(super) fn add(&mut self, other: &Self) {
        self.delivered += other.delivered;
        // Both have the same bounds.
        let _ = self.latency.add(&other.latency);
        self.missing += other.missing;
        self.doubled += other.doubled;
    }

    /// An event came.
    pub(super) fn count(&mut self, stamp: Stamp, now_us: u64, order: &mut Order) {
        match order.follows(stamp.number) {
            Place::Next => {}
            Place::After(missing) => self.missing += missing,
            Place::Again => {
                self.doubled += 1;
                return;
            }
        }
        let window = &self.window;
        if stamp.number >= window.first && stamp.number < window.end {
            self.delivered += 1;
            if stamp.number.is_multiple_of(window.every) {
                self.latency
                    .saturating_record(now_us.saturating_sub(stamp.due_us).max(1));
            }
        }
    }
}

/// How the numbers of events that a connection gets follow each other.
#[derive(Debug, Clone)]
pub(super) struct Order {
    stride: u64,
    /// The next number, for each of the sockets that publish the stream in turns: only what one of them publishes has
    /// an order.
    next: Vec<u64>,
}

#[derive(Debug, PartialEq, Eq)]
enum Place {
    Next,
    /// So many are missing before it.
    After(u64),
    /// It, or a later one of the same publisher, was there already.
    Again,
}

impl Order {
    /// The events number `first`, `first + stride` and so on, and `publishers` publish them in turns, from event
    /// `from` on.
    pub(super) fn new(first: u64, stride: u64, publishers: u64, from: u64) -> Self {
        let stride_each = stride * publishers;
        let next = (0..publishers).map(|publisher| {
            let first = first + publisher * stride;
            first + from.saturating_sub(first).div_ceil(stride_each) * stride_each
        });
        Self {
            stride: stride_each,
            next: next.collect(),
        }
    }

    fn follows(&mut self, number: u64) -> Place {
        let publishers = self.next.len() as u64;
        let turn = if publishers == 1 {
            0
        } else {
            number / (self.stride / publishers) % publishers
        };
        let next = &mut self.next[turn as usize];
        if number < *next {
            return Place::Again;
        }
        let missing = (number - *next) / self.stride;
        *next = number + self.stride;
        if missing == 0 {
            Place::Next
        } else {
            Place::After(missing)
        }
    }

    /// How many of the events below `end` have not been seen to come.
    pub(super) fn outstanding(&self, end: u64) -> u64 {
        let each = self
            .next
            .iter()
            .map(|next| end.saturating_sub(*next).div_ceil(self.stride));
        each.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(number: u64) -> Stamp {
        Stamp { due_us: 100, number }
    }

    #[test]
    fn what_is_missing_doubled_and_late_is_told_apart() {
        let mut tally = Tally::new();
        tally.begin(Window {
            first: 2,
            end: 8,
            every: 2,
        });
        let mut order = Order::new(0, 1, 1, 0);
        for number in [0, 1, 2, 3, 3, 6, 5, 7, 8] {
            tally.count(stamp(number), 150, &mut order);
        }
        // Missing are 4 and 5, of which 5 came when 6 had been there.
        assert_eq!((tally.missing, tally.doubled), (2, 2));
        // 2, 3, 6, 7; latencies of 2 and 6.
        assert_eq!((tally.delivered, tally.latency.len()), (4, 2));
        assert_eq!((tally.latency.max(), order.outstanding(12)), (50, 3));
        tally.begin(tally.window);
        assert_eq!((tally.delivered, tally.latency.len(), tally.missing), (0, 0, 2));
    }

    #[test]
    fn each_stream_and_each_publisher_has_an_order_of_its_own() {
        // Stream 3 of 10.
        let mut order = Order::new(3, 10, 1, 0);
        assert_eq!(order.follows(3), Place::Next);
        assert_eq!(order.follows(33), Place::After(2));
        assert_eq!(order.outstanding(44), 1);
        // One stream, three publishers, of which one is ahead.
        let mut order = Order::new(0, 1, 3, 0);
        for number in [0, 3, 1, 6, 2, 4] {
            assert_eq!(order.follows(number), Place::Next, "{number}");
        }
        assert_eq!(order.follows(11), Place::After(2));
        assert_eq!(order.follows(3), Place::Again);
        // From the middle on.
        let mut order = Order::new(0, 1, 3, 7);
        assert_eq!(order.outstanding(10), 3);
        for number in [8, 7, 9, 10] {
            assert_eq!(order.follows(number), Place::Next, "{number}");
        }
        assert_eq!(Order::new(3, 10, 1, 14).next, [23]);
        assert_eq!(Order::new(3, 10, 1, 13).next, [13]);
    }
}
