//! What a tail has been told so far, and what follows from the next line. Sans-IO: lines in, a batch of output and
//! the next step out.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use shared::{Cursor, EntryId, MultiCursor, StreamName};

use super::format::Formatter;
use super::line::{Control, ControlKind, Event, Line, Malformed};
use super::output::Batch;
use crate::cli::terminal::{Notice, neutral};

/// What to do after a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Read on.
    Continue,
    /// The edge is going away: connect again.
    Reconnect,
    /// Everything that was asked for has come.
    Finished,
}

/// The state of a tail over all its connections.
#[derive(Debug)]
pub(super) struct Follower {
    formatter: Formatter,
    streams: Vec<StreamName>,
    /// Whether to end once everything that is there has come.
    until_caught_up: bool,
    /// Where to go on: after everything that was put into a batch.
    cursor: Option<Bytes>,
    /// Whether `cursor` goes back to what an earlier connection, or an earlier run, was told.
    resumed: bool,
    /// The last event of each stream. Within one history IDs only rise, so what is not above it came before.
    last_ids: HashMap<String, EntryId>,
    /// Streams that are still to catch up, in this connection.
    behind: HashSet<String>,
    /// Streams that have not reached their end, in this connection.
    unfinished: HashSet<String>,
    told_of_repeats: bool,
    losses: u64,
}

impl Follower {
    /// A tail of `streams` that has been told nothing, or everything up to `cursor`.
    pub(super) fn new(
        formatter: Formatter,
        streams: Vec<StreamName>,
        cursor: Option<String>,
        until_caught_up: bool,
    ) -> Self {
        let mut this = Self {
            formatter,
            streams,
            until_caught_up,
            resumed: cursor.is_some(),
            cursor: cursor.map(Bytes::from),
            last_ids: HashMap::new(),
            behind: HashSet::new(),
            unfinished: HashSet::new(),
            told_of_repeats: false,
            losses: 0,
        };
        for stream in &this.streams {
            let position = this
                .cursor
                .as_ref()
                .and_then(|c| position_in(c, stream.as_str(), this.streams.len()));
            this.last_ids
                .extend(position.map(|id| (stream.as_str().to_owned(), id)));
        }
        this
    }

    /// Where to go on from; `None` before anything was told.
    pub(super) fn cursor(&self) -> Option<&Bytes> {
        self.cursor.as_ref()
    }

    /// How often events were lost, or may have been.
    pub(super) fn losses(&self) -> u64 {
        self.losses
    }

    /// A connection begins.
    pub(super) fn connected(&mut self) {
        self.resumed |= self.cursor.is_some();
        self.behind = self.streams.iter().map(|s| s.as_str().to_owned()).collect();
        self.unfinished = self.behind.clone();
    }

    /// Takes one line and appends what it brings to `batch`. A line that is none changes nothing.
    pub(super) fn take(&mut self, line: &Bytes, batch: &mut Batch) -> Result<Step, Malformed> {
        match Line::parse(line)? {
            Line::Heartbeat => Ok(Step::Continue),
            Line::Event(event) => {
                self.event(&event, line, batch);
                Ok(Step::Continue)
            }
            Line::Control(control) => Ok(self.control(control, batch)),
        }
    }

    fn event(&mut self, event: &Event<'_>, line: &Bytes, batch: &mut Batch) {
        match self.last_ids.get_mut(&*event.stream) {
            Some(last) if event.id <= *last => return self.repeated(batch),
            Some(last) => *last = event.id,
            None => drop(self.last_ids.insert(event.stream.clone().into_owned(), event.id)),
        }
        self.formatter.push(&mut batch.bytes, event, line);
        batch.mark_event(event.cursor.clone());
        self.cursor = Some(event.cursor.clone());
    }

    /// An edge never does this; should it ever, nothing is printed twice, and somebody hears of it.
    fn repeated(&mut self, batch: &mut Batch) {
        if !std::mem::replace(&mut self.told_of_repeats, true) {
            let text = "the edge sent events that were printed before; they are left out";
            batch.mark_notice(Notice::plain(text), None);
        }
    }

    fn control(&mut self, control: Control<'_>, batch: &mut Batch) -> Step {
        if let Some(cursor) = &control.cursor {
            self.cursor = Some(cursor.clone());
        }
        match self.notice(&control) {
            Some(notice) => batch.mark_notice(notice, control.cursor.clone()),
            None => {
                if let Some(cursor) = &control.cursor {
                    batch.mark_position(cursor.clone());
                }
            }
        }
        match control.kind {
            ControlKind::Reset => self.forget_positions(&control),
            ControlKind::Reconnect => return Step::Reconnect,
            ControlKind::CaughtUp => settle(&mut self.behind, &control),
            ControlKind::Ended => {
                settle(&mut self.behind, &control);
                settle(&mut self.unfinished, &control);
            }
            _ => {}
        }
        let finished = self.unfinished.is_empty() || (self.until_caught_up && self.behind.is_empty());
        if finished { Step::Finished } else { Step::Continue }
    }

    /// What a verdict is told as.
    fn notice(&mut self, control: &Control<'_>) -> Option<Notice> {
        let of = match &control.stream {
            Some(stream) => neutral(stream).into_owned(),
            None => "the streams".to_owned(),
        };
        let from = match &control.cursor {
            Some(cursor) => format!("; going on after {}", neutral(&String::from_utf8_lossy(cursor))),
            None => String::new(),
        };
        let text = match control.kind {
            ControlKind::Gap => {
                let gone = match control.lost {
                    Some(1) => format!("1 event of {of} is gone"),
                    Some(lost) => format!("{lost} events of {of} are gone"),
                    None => format!("events of {of} are gone"),
                };
                format!("GAP: {gone} (trimmed or deleted before they were read){from}")
            }
            ControlKind::Reset => format!(
                "RESET: {of} has another history than the one that was read (deleted and made anew, or rolled back){from}"
            ),
            ControlKind::Unverified if self.resumed => {
                format!("UNVERIFIED: whether events of {of} are missing here cannot be told{from}")
            }
            ControlKind::Unverified => {
                let text = format!("whether events of {of} are missing before this cannot be told{from}");
                return Some(Notice::plain(text));
            }
            ControlKind::Degraded => {
                let text = format!("{of}: the log is away, nothing comes until it is back");
                return Some(Notice::plain(text));
            }
            ControlKind::Restored => return Some(Notice::plain(format!("{of}: the log is back"))),
            _ => return None,
        };
        self.losses += 1;
        Some(Notice::loud(text))
    }

    /// In another history IDs begin anew.
    fn forget_positions(&mut self, control: &Control<'_>) {
        let Some(stream) = &control.stream else {
            return self.last_ids.clear();
        };
        let position = control
            .cursor
            .as_ref()
            .and_then(|c| position_in(c, stream, self.streams.len()));
        match position {
            Some(id) => drop(self.last_ids.insert(stream.clone().into_owned(), id)),
            None => drop(self.last_ids.remove(&**stream)),
        }
    }
}

/// The stream that the line is about, or all of them, are no longer waited for.
fn settle(waited_for: &mut HashSet<String>, control: &Control<'_>) {
    match &control.stream {
        Some(stream) => drop(waited_for.remove(&**stream)),
        None => waited_for.clear(),
    }
}

/// The position of `stream` in a cursor of a tail of `streams` streams, if it has a known form.
fn position_in(cursor: &[u8], stream: &str, streams: usize) -> Option<EntryId> {
    let text = std::str::from_utf8(cursor).ok()?;
    if let Ok(cursors) = text.parse::<MultiCursor>() {
        return cursors.get(&stream.parse().ok()?).map(|cursor| cursor.id);
    }
    let cursor: Cursor = text.parse().ok()?;
    (streams == 1).then_some(cursor.id)
}

#[cfg(test)]
#[path = "follower_tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
