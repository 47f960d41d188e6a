//! A page of a stream as every transport answers it: bounded in bytes, and as JSON.

use std::io::Write as _;
use std::sync::Arc;

use broker::Page;
use shared::{Entry, Verdict, wire};

/// Bytes of what stands around one event of a page.
const FRAME_BYTES: usize = 200;

/// Shortens a page whose events have too many bytes; its cursor then leads to the rest. One event always stays, so
/// that a reader gets on.
pub(crate) fn bound(page: &mut Page, bytes_max: usize, backward: bool) {
    let mut bytes = 0;
    let fits = |entry: &&Arc<Entry>| {
        bytes += entry.event.size_bytes();
        bytes <= bytes_max
    };
    let count = page.entries.iter().take_while(fits).count().max(1);
    if count >= page.entries.len() {
        return;
    }
    page.entries.truncate(count);
    page.tail_reached = false;
    if let Some(last) = page.entries.last() {
        page.cursor = last.cursor;
    }
    // Backward, what is missing lies before the oldest entry: the page that reaches it tells.
    if backward && matches!(page.verdict, Verdict::Gap { .. }) {
        page.verdict = Verdict::Continuous;
    }
}

/// Appends `{"events":[…],"cursor","head","tail_reached","verdict","degraded"?}`.
pub(crate) fn push_json(out: &mut Vec<u8>, page: &Page) {
    out.push(b'{');
    push_fields(out, page);
    out.push(b'}');
}

/// Appends what stands between the braces of that.
pub(crate) fn push_fields(out: &mut Vec<u8>, page: &Page) {
    let bytes: usize = page
        .entries
        .iter()
        .map(|entry| entry.event.size_bytes() + FRAME_BYTES)
        .sum();
    out.reserve(bytes + FRAME_BYTES);
    out.extend_from_slice(b"\"events\":[");
    for (index, entry) in page.entries.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        wire::entry_json_prefix(out, entry);
        entry.cursor.push_to(out);
        out.extend_from_slice(b"\"}");
    }
    // Writing into a vector has no way to fail.
    let _ = write!(
        out,
        "],\"cursor\":\"{}\",\"head\":\"{}\",\"tail_reached\":{},\"verdict\":",
        page.cursor, page.head, page.tail_reached
    );
    let _ = serde_json::to_writer(&mut *out, &page.verdict);
    if page.degraded {
        out.extend_from_slice(b",\"degraded\":true");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use bytes::Bytes;
    use shared::{Cursor, EntryId, Event, Payload};

    use super::*;

    fn page(entries: u64, verdict: Verdict) -> Page {
        let entry = |n| {
            let event = Event::new(Payload::Json(Bytes::from_static(b"\"0123456\"")));
            Arc::new(Entry::new(
                "a".parse().unwrap(),
                Cursor::new(EntryId::new(n, 0), n),
                event,
            ))
        };
        Page {
            entries: (1..=entries).map(entry).collect(),
            cursor: Cursor::new(EntryId::new(entries, 0), entries),
            head: Cursor::new(EntryId::new(9, 0), 9),
            tail_reached: true,
            verdict,
            degraded: false,
        }
    }

    #[test]
    fn a_page_that_is_cut_leads_to_its_rest() {
        let mut whole = page(3, Verdict::Continuous);
        bound(&mut whole, 27, false);
        assert!(whole.entries.len() == 3 && whole.tail_reached);
        bound(&mut whole, 26, false);
        assert!(whole.entries.len() == 2 && !whole.tail_reached);
        assert_eq!(whole.cursor, Cursor::new(EntryId::new(2, 0), 2));
        bound(&mut whole, 0, false);
        assert_eq!(whole.entries.len(), 1);
    }

    #[test]
    fn what_is_missing_before_the_oldest_is_told_by_the_page_that_reaches_it() {
        let gap = Verdict::Gap { lost: 4 };
        for (bytes_max, backward, verdict) in
            [(9, true, Verdict::Continuous), (9, false, gap), (27, true, gap)]
        {
            let mut page = page(3, gap);
            bound(&mut page, bytes_max, backward);
            assert_eq!(page.verdict, verdict);
        }
    }

    #[test]
    fn as_json() {
        let mut out = Vec::new();
        push_json(&mut out, &page(1, Verdict::Gap { lost: 4 }));
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"{"events":[{"id":"1-0","stream":"a","event":"message","data":"0123456","#,
                r#""time":"1970-01-01T00:00:00.001Z","cursor":"1-0.1"}],"cursor":"1-0.1","head":"9-0.9","#,
                r#""tail_reached":true,"verdict":{"kind":"gap","lost":4}}"#
            )
        );
        let mut out = Vec::new();
        let remembered = Page {
            degraded: true,
            ..page(0, Verdict::Continuous)
        };
        push_json(&mut out, &remembered);
        let end = r#""verdict":{"kind":"continuous"},"degraded":true}"#;
        assert!(String::from_utf8(out).unwrap().ends_with(end));
    }
}
