//! The offset that stands behind each event of a session that can be recovered: how far its client has come in all
//! its subscriptions.
//!
//! `TAG:NUMBER~CURSOR,NUMBER~CURSOR`, for example `k3Jx9aQw:1~1767225600000-0.42,3~1767225600007-0.7`. A subscription
//! that stands where it began is left out. Numbers are given once in a session, so an offset from before an
//! unsubscribe is not mistaken. The tag names the session: a client presents its last offset even if that belongs to
//! an earlier session of which nothing is left, and then it says nothing about this one.

use shared::Cursor;
use shared::limits::STREAMS_PER_CURSOR_MAX;

/// Characters of a tag: 48 bits.
const TAG_BYTES: usize = 8;

/// Numbers and cursors of subscriptions, read from an offset.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Positions(Vec<(u64, Cursor)>);

/// Appends an offset to `out`. `sid` is that of the session.
pub(crate) fn push(out: &mut Vec<u8>, sid: &str, positions: impl Iterator<Item = (u64, Cursor)>) {
    out.extend_from_slice(tag(sid).as_bytes());
    out.push(b':');
    for (index, (number, cursor)) in positions.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        out.push(b'~');
        cursor.push_to(out);
    }
}

/// Reads an offset that a client presents for the session of this `sid`. An offset of another session says nothing.
pub(crate) fn parse(text: &str, sid: &str) -> Result<Positions, OffsetError> {
    let (session, positions) = text.split_once(':').ok_or(OffsetError)?;
    if session.len() != TAG_BYTES || !session.bytes().all(is_base64url) {
        return Err(OffsetError);
    }
    let mut read = Vec::new();
    for part in positions.split(',').filter(|_| !positions.is_empty()) {
        let (number, cursor) = part.split_once('~').ok_or(OffsetError)?;
        let number = Some(number).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
        let number = number.and_then(|digits| digits.parse().ok()).ok_or(OffsetError)?;
        let cursor: Cursor = cursor.parse().map_err(|_| OffsetError)?;
        if read.len() == STREAMS_PER_CURSOR_MAX || read.iter().any(|(known, _)| *known == number) {
            return Err(OffsetError);
        }
        read.push((number, cursor));
    }
    Ok(match session == tag(sid) {
        true => Positions(read),
        false => Positions::default(),
    })
}

impl Positions {
    /// How far the client has come in the subscription of this number, if it has come anywhere.
    pub(crate) fn get(&self, number: u64) -> Option<Cursor> {
        let found = self.0.iter().find(|(known, _)| *known == number);
        found.map(|(_, cursor)| *cursor)
    }
}

fn tag(sid: &str) -> &str {
    sid.get(..TAG_BYTES).unwrap_or(sid)
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// The text is no offset of this edge's making.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an offset")]
pub(crate) struct OffsetError;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use shared::{EntryId, Ordinal};

    use super::*;

    const SID: &str = "k3Jx9aQwRtYuIoPasDfG";

    fn written(sid: &str, positions: &[(u64, Cursor)]) -> String {
        let mut out = Vec::new();
        push(&mut out, sid, positions.iter().copied());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_offset_names_its_session_and_where_each_subscription_stands() {
        let positions = [
            (1, Cursor::new(EntryId::new(1_767_225_600_000, 0), 42)),
            (3, Cursor::bare(EntryId::new(7, 1))),
        ];
        let text = written(SID, &positions);
        assert_eq!(text, "k3Jx9aQw:1~1767225600000-0.42,3~7-1");
        let read = parse(&text, SID).unwrap();
        assert_eq!(read.get(1), Some(positions[0].1));
        assert_eq!((read.get(2), read.get(3)), (None, Some(positions[1].1)));
        assert_eq!(written(SID, &[]), "k3Jx9aQw:");
        assert_eq!(parse("k3Jx9aQw:", SID), Ok(Positions::default()));
    }

    #[test]
    fn an_offset_of_another_session_says_nothing() {
        let text = written("otherSessionOfTheSam", &[(1, Cursor::START)]);
        assert_eq!(parse(&text, SID), Ok(Positions::default()));
    }

    #[test]
    fn what_is_no_offset_is_refused() {
        for text in [
            "",
            ":",
            "k3Jx9aQ:",
            "k3Jx9aQw",
            "k3Jx9aQw:1",
            "k3Jx9aQw:1~",
            "k3Jx9aQw:~1-0",
            "k3Jx9aQw:+1~1-0",
            "k3Jx9aQw:1~1-0,",
            "k3Jx9aQw:,1~1-0",
            "k3Jx9aQw:1~1-0,1~2-0",
            "k3Jx9a w:1~1-0",
            "k3Jx9aQw:1~1-0 ",
            "k3Jx9aQw:99999999999999999999~1-0",
        ] {
            assert_eq!(parse(text, SID), Err(OffsetError), "{text}");
        }
        let many: Vec<(u64, Cursor)> = (0..65).map(|number| (number, Cursor::START)).collect();
        assert_eq!(parse(&written(SID, &many), SID), Err(OffsetError));
        assert!(parse(&written(SID, &many[..64]), SID).is_ok());
    }

    proptest! {
        #[test]
        fn offsets_read_as_they_were_written(
            positions in prop::collection::btree_map(any::<u64>(), (any::<u64>(), any::<u64>(), any::<Option<u64>>()), 0..20),
        ) {
            let positions: Vec<(u64, Cursor)> = positions
                .into_iter()
                .map(|(number, (ms, seq, ordinal))| {
                    (number, Cursor { id: EntryId::new(ms, seq), ordinal: ordinal.map(Ordinal) })
                })
                .collect();
            let text = written(SID, &positions);
            // A JSON string as it is.
            prop_assert!(text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\'));
            prop_assert_eq!(parse(&text, SID), Ok(Positions(positions)));
        }

        #[test]
        fn no_text_makes_it_fall_over(text in "k3Jx9aQw:[0-9~.,-]{0,30}|.{0,30}") {
            if let Ok(positions) = parse(&text, SID) {
                prop_assert!(positions.0.len() <= STREAMS_PER_CURSOR_MAX);
            }
        }
    }
}
