//! Entry IDs, cursors on one stream and cursors over several.

use proptest::collection::btree_map;
use proptest::prelude::*;
use shared::limits::STREAMS_PER_CURSOR_MAX;
use shared::{Cursor, CursorError, EntryId, MultiCursor, Ordinal, StreamName};

use crate::strategies::{cursor, id, name};

#[test]
fn ids_are_read_as_redis_writes_them() {
    assert_eq!("0-0".parse(), Ok(EntryId::ZERO));
    assert_eq!("1700000000000".parse(), Ok(EntryId::new(1_700_000_000_000, 0)));
    assert_eq!(
        "18446744073709551615-18446744073709551615".parse(),
        Ok(EntryId::MAX)
    );
    for bad in [
        "",
        "-",
        "1-",
        "-1",
        "+1-0",
        "1-0-0",
        "1 -0",
        "a",
        "18446744073709551616-0",
        "1-18446744073709551616",
        "$",
        "*",
    ] {
        assert!(bad.parse::<EntryId>().is_err(), "{bad:?}");
        assert!(bad.parse::<Cursor>().is_err(), "{bad:?}");
    }
}

#[test]
fn ids_step_over_the_ends_of_their_halves() {
    assert_eq!(EntryId::ZERO.predecessor(), EntryId::ZERO);
    assert_eq!(EntryId::MAX.successor(), EntryId::MAX);
    assert_eq!(EntryId::new(5, 0).predecessor(), EntryId::new(4, u64::MAX));
    assert_eq!(EntryId::new(4, u64::MAX).successor(), EntryId::new(5, 0));
}

#[test]
fn cursors_are_written_as_documented() {
    assert_eq!(
        Cursor::new(EntryId::new(1_700_000_000_000, 0), 42).to_string(),
        "1700000000000-0.42"
    );
    assert_eq!(Cursor::START.to_string(), "0-0.0");
    assert_eq!("5-1".parse(), Ok(Cursor::bare(EntryId::new(5, 1))));
    for bad in [
        "5-1.",
        ".5",
        "5-1.x",
        "5-1.1.1",
        "5-1.-1",
        "5-1 .1",
        "5-1.18446744073709551616",
        "now",
        "a~5-1.1",
    ] {
        assert_eq!(bad.parse::<Cursor>(), Err(CursorError::Malformed), "{bad:?}");
    }
    let several: MultiCursor = "doc:1~1700000000000-0.42,log:api~0-0.0".parse().unwrap();
    assert_eq!(several.get(&"log:api".parse().unwrap()), Some(Cursor::START));
    for bad in [
        "",
        ",",
        "a",
        "a~",
        "~1-0.1",
        "a~1-0.1,",
        "a~1-0.1,a~1-0.1",
        "a~1-0.1 ,b~1-0.1",
        "a~b~1-0",
    ] {
        assert_eq!(bad.parse::<MultiCursor>(), Err(CursorError::Malformed), "{bad:?}");
    }
}

#[test]
fn a_cursor_covers_a_bounded_number_of_streams() {
    let of = |count: usize| {
        let position = |n: usize| (format!("s{n}").parse::<StreamName>().unwrap(), Cursor::START);
        (0..count).map(position).collect::<MultiCursor>().to_string()
    };
    assert_eq!(
        of(STREAMS_PER_CURSOR_MAX).parse::<MultiCursor>().unwrap().len(),
        STREAMS_PER_CURSOR_MAX
    );
    assert_eq!(
        of(STREAMS_PER_CURSOR_MAX + 1).parse::<MultiCursor>(),
        Err(CursorError::TooMany)
    );
    assert_eq!(of(50_000).parse::<MultiCursor>(), Err(CursorError::TooMany));
}

#[test]
fn positions_are_set_and_forgotten() {
    let stream: StreamName = "a".parse().unwrap();
    let mut several = MultiCursor::default();
    assert!(several.is_empty());
    several.set(stream.clone(), Cursor::START);
    several.set(stream.clone(), Cursor::new(EntryId::new(1, 0), 1));
    assert_eq!(
        several.iter().collect::<Vec<_>>(),
        [(&stream, Cursor::new(EntryId::new(1, 0), 1))]
    );
    several.remove(&stream);
    assert_eq!(several.get(&stream), None);
}

proptest! {
    #[test]
    fn both_ways_of_writing_a_cursor_are_one(cursor in cursor()) {
        let mut text = b"at ".to_vec();
        cursor.push_to(&mut text);
        prop_assert_eq!(String::from_utf8(text).unwrap(), format!("at {cursor}"));
    }

    #[test]
    fn ids_are_read_back(id in id()) {
        prop_assert_eq!(id.to_string().parse(), Ok(id));
        prop_assert_eq!(EntryId::from_bytes(id.to_string().as_bytes()), Ok(id));
    }

    #[test]
    fn ids_are_ordered_like_their_halves(a in id(), b in id()) {
        prop_assert_eq!(a.cmp(&b), (a.ms, a.seq).cmp(&(b.ms, b.seq)));
        prop_assert!(EntryId::ZERO <= a && a <= EntryId::MAX);
    }

    #[test]
    fn nothing_stands_between_an_id_and_its_neighbours(a in id(), b in id()) {
        prop_assert!(a == EntryId::MAX || a.successor().predecessor() == a);
        prop_assert!(a == EntryId::ZERO || a.predecessor().successor() == a);
        prop_assert_eq!(a < b, a != EntryId::MAX && a.successor() <= b);
        prop_assert_eq!(b < a, a != EntryId::ZERO && b <= a.predecessor());
    }

    #[test]
    fn cursors_are_read_back(cursor in cursor()) {
        prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
    }

    #[test]
    fn cursors_over_several_streams_are_read_back(positions in btree_map(name(), cursor(), 1..8)) {
        let several: MultiCursor = positions.clone().into_iter().collect();
        let text = several.to_string();
        prop_assert!(!text.contains([' ', '"', '\\']) && text.is_ascii());
        let back: MultiCursor = text.parse().unwrap();
        prop_assert_eq!(&back, &several);
        prop_assert!(back.iter().map(|(name, cursor)| (name.clone(), cursor)).eq(positions));
    }

    #[test]
    fn any_text_is_a_cursor_or_refused(text in "[0-9.~,a-]{0,24}|\\PC{0,24}") {
        if let Ok(id) = text.parse::<EntryId>() {
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }
        if let Ok(cursor) = text.parse::<Cursor>() {
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
            prop_assert_eq!(cursor.ordinal.map(|Ordinal(n)| n).is_some(), text.contains('.'));
        }
        if let Ok(several) = text.parse::<MultiCursor>() {
            prop_assert_eq!(several.to_string().parse(), Ok(several));
        }
    }
}
