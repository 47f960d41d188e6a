//! Reads a page of a history: where it begins, what is missing before it, how far it goes. One call under the
//! stream's lock, so the page, its head and its verdict are one view, and every count is exact.

use shared::limits::PAGE_ENTRIES_MAX;
use shared::verdict::{Assessment, Look, assess, compare, resume_at};
use shared::{Cursor, EntryId, StreamView, Verdict};

use super::history::History;
use crate::{Direction, From, Page, ReadRequest};

/// The page of a stream that does not exist reads as one of an empty stream.
pub(super) fn read(history: Option<&mut History>, request: &ReadRequest) -> Page {
    let mut absent = History::default();
    let history = history.unwrap_or(&mut absent);
    let limit = request.limit.clamp(1, PAGE_ENTRIES_MAX);
    match request.direction {
        Direction::Forward(From::Now) => empty_at(history.view().head()),
        Direction::Forward(from) => {
            let begin = begin(history, from, request.until);
            forward(history, begin, request.until, limit)
        }
        Direction::Backward { before, since } => {
            let upper = request.until.map_or(EntryId::MAX, EntryId::successor);
            backward(history, before, since, upper, limit)
        }
    }
}

fn empty_at(head: Cursor) -> Page {
    Page {
        entries: Vec::new(),
        cursor: head,
        head,
        tail_reached: true,
        verdict: Verdict::Continuous,
        degraded: false,
    }
}

/// Where a forward page begins: after `cursor`, with the entry at `index`.
struct Begin {
    cursor: Cursor,
    index: usize,
    verdict: Verdict,
}

fn begin(history: &History, from: From, until: Option<EntryId>) -> Begin {
    let view = history.view();
    match from {
        From::Cursor(cursor) => {
            let verdict = judge(history, &view, cursor);
            let cursor = resume_at(cursor, verdict, &view);
            Begin {
                cursor,
                index: history.count_through(cursor.id),
                verdict,
            }
        }
        From::Start => begin(history, From::Cursor(Cursor::START), until),
        From::Now => at_index(history, history.len(), Verdict::Continuous),
        From::Last(count) => {
            let end = until.map_or(history.len(), |until| history.count_through(until));
            let index = end.saturating_sub(count.min(PAGE_ENTRIES_MAX));
            at_index(history, index, Verdict::Continuous)
        }
        From::Since(id) => {
            let intact = view.intact_after(id.predecessor());
            let verdict = if intact {
                Verdict::Continuous
            } else {
                Verdict::Unverified
            };
            at_index(history, history.count_below(id), verdict)
        }
    }
}

fn at_index(history: &History, index: usize, verdict: Verdict) -> Begin {
    Begin {
        cursor: history.position_before(index),
        index,
        verdict,
    }
}

/// The verdict on what lies after `cursor`.
fn judge(history: &History, view: &StreamView, cursor: Cursor) -> Verdict {
    let through = history.count_through(cursor.id);
    let after = (history.len() - through) as u64;
    let look = Look {
        present: through > history.count_below(cursor.id),
        after: Some(after),
    };
    match assess(cursor, view, look) {
        Assessment::Settled(verdict) => verdict,
        Assessment::Count => compare(cursor, view, look.present, after),
    }
}

fn forward(history: &mut History, begin: Begin, until: Option<EntryId>, limit: usize) -> Page {
    let head = history.view().head();
    let bound = until.map_or(history.len(), |until| history.count_through(until));
    let end = bound.min(begin.index.saturating_add(limit));
    let entries: Vec<_> = (begin.index..end)
        .filter_map(|index| history.entry(index))
        .collect();
    let tail_reached = end >= bound;
    let whole_tail = tail_reached && until.is_none_or(|until| until >= head.id);
    let cursor = match entries.last() {
        _ if whole_tail => head,
        Some(entry) => entry.cursor,
        None => begin.cursor,
    };
    Page {
        entries,
        cursor,
        head,
        tail_reached,
        verdict: begin.verdict,
        degraded: false,
    }
}

fn backward(
    history: &mut History,
    before: Option<Cursor>,
    since: Option<EntryId>,
    upper: EntryId,
    limit: usize,
) -> Page {
    let view = history.view();
    let upper_index = match upper {
        EntryId::MAX => history.len(),
        upper => history.count_below(upper),
    };
    let end = before.map_or(upper_index, |before| {
        upper_index.min(history.count_below(before.id))
    });
    let floor = since.map_or(0, |since| history.count_below(since));
    let start = end.saturating_sub(limit).max(floor);
    let entries: Vec<_> = (start..end)
        .rev()
        .filter_map(|index| history.entry(index))
        .collect();
    let tail_reached = start <= floor;
    let cursor = match entries.last() {
        Some(entry) => entry.cursor,
        None => before.unwrap_or(view.head()),
    };
    let judged = before.map_or(Verdict::Continuous, |before| judge(history, &view, before));
    let gone = match (entries.last(), before.and_then(|before| before.ordinal)) {
        (None, Some(ordinal)) => view.removed().min(ordinal.0.saturating_sub(1)),
        _ => view.removed(),
    };
    let verdict = match judged {
        Verdict::Reset => Verdict::Reset,
        _ if tail_reached && since.is_none() && gone > 0 => Verdict::Gap { lost: gone },
        Verdict::Unverified => Verdict::Unverified,
        // What is gone after the position is not read here.
        Verdict::Continuous | Verdict::Gap { .. } => Verdict::Continuous,
    };
    Page {
        entries,
        cursor,
        head: view.head(),
        tail_reached,
        verdict,
        degraded: false,
    }
}
