//! The lines that are not acknowledged: which were sent in this request, which wait, which are to be sent again.
//! Sans-IO: lines and answers in, frames out.

use std::collections::VecDeque;

use bytes::Bytes;
use shared::limits::{PUBLISH_BYTES_UNACKNOWLEDGED_MAX, PUBLISH_LINES_UNACKNOWLEDGED_MAX};

use super::answer::Answer;
use super::order::Order;

/// A line to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Its number in the input, from 1.
    pub(super) number: u64,
    /// What is sent, with its line feed.
    pub(super) wire: Bytes,
}

/// What became of the oldest line that was sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// It is published.
    Published {
        /// Whether it was there already.
        duplicate: bool,
        /// Whether it does not stand in the stream where it stands in the input.
        misplaced: bool,
    },
    /// It cannot be published.
    Refused {
        /// Which line.
        number: u64,
        /// Why.
        why: String,
    },
    /// It will be sent again, in the next request.
    Again {
        /// Why.
        why: String,
    },
}

/// There are more answers than lines.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unasked;

/// Lines in their order: each is in one of three queues, and every line of an earlier queue has a lower number.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Answered in this request: to be sent again in the next one.
    again: VecDeque<Line>,
    /// Sent in this request, not answered.
    in_flight: VecDeque<Line>,
    /// To be sent.
    waiting: VecDeque<Line>,
    bytes: usize,
    order: Order,
}

impl Window {
    /// Whether another batch of lines may be taken in.
    pub(super) fn has_room(&self) -> bool {
        self.unacknowledged() < PUBLISH_LINES_UNACKNOWLEDGED_MAX
            && self.bytes < PUBLISH_BYTES_UNACKNOWLEDGED_MAX
    }

    /// Takes in the next line.
    pub(super) fn push(&mut self, line: Line) {
        self.bytes += line.wire.len();
        self.waiting.push_back(line);
    }

    /// How many lines are not acknowledged.
    pub(super) fn unacknowledged(&self) -> usize {
        self.again.len() + self.in_flight.len() + self.waiting.len()
    }

    /// The first and the last line that are not acknowledged.
    pub(super) fn span(&self) -> Option<(u64, u64)> {
        let mut all = self.again.iter().chain(&self.in_flight).chain(&self.waiting);
        let first = all.next()?.number;
        Some((first, all.next_back().map_or(first, |line| line.number)))
    }

    /// Whether there is a line to send.
    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether a line was sent in this request that is not answered.
    pub(super) fn has_in_flight(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// The next lines to send, as one piece of the request's body; they are in flight from here on. About
    /// `bytes_max`, and one line at least.
    pub(super) fn next_frame(&mut self, bytes_max: usize) -> Bytes {
        let mut frame = Vec::new();
        while let Some(line) = self.waiting.pop_front() {
            if frame.is_empty() && line.wire.len() >= bytes_max {
                let wire = line.wire.clone();
                self.in_flight.push_back(line);
                return wire;
            }
            if frame.len() + line.wire.len() > bytes_max {
                self.waiting.push_front(line);
                break;
            }
            frame.extend_from_slice(&line.wire);
            self.in_flight.push_back(line);
        }
        Bytes::from(frame)
    }

    /// The next answer: it is about the oldest line in flight.
    pub(super) fn answered(&mut self, answer: Answer) -> Result<Settled, Unasked> {
        let line = self.in_flight.pop_front().ok_or(Unasked)?;
        if let Answer::Again(why) = answer {
            self.again.push_back(line);
            return Ok(Settled::Again { why });
        }
        self.bytes -= line.wire.len();
        let first_open = self.span().map(|(first, _)| first);
        Ok(match answer {
            Answer::Published { id, duplicate } => Settled::Published {
                duplicate,
                misplaced: id.is_some_and(|id| self.order.is_misplaced(line.number, id, first_open)),
            },
            Answer::Refused(why) | Answer::Again(why) => Settled::Refused {
                number: line.number,
                why,
            },
        })
    }

    /// The request is over: everything that is not acknowledged waits to be sent, in order. Brings how many of them
    /// were sent before.
    pub(super) fn request_ended(&mut self) -> usize {
        let sent = self.again.len() + self.in_flight.len();
        for queue in [&mut self.in_flight, &mut self.again] {
            while let Some(line) = queue.pop_back() {
                self.waiting.push_front(line);
            }
        }
        sent
    }
}

#[cfg(test)]
#[path = "window_tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
