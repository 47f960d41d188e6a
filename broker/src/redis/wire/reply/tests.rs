#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::super::super::parse::{self, RawEntry};
use super::*;

fn bulk(out: &mut Vec<u8>, value: &[u8]) {
    out.extend_from_slice(format!("${}\r\n", value.len()).as_bytes());
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

fn list(entries: &[(EntryId, Pairs)]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", entries.len()).into_bytes();
    for (id, fields) in entries {
        out.extend_from_slice(b"*2\r\n");
        bulk(&mut out, id.to_string().as_bytes());
        out.extend_from_slice(format!("*{}\r\n", 2 * fields.len()).as_bytes());
        for (name, value) in fields {
            bulk(&mut out, name);
            bulk(&mut out, value);
        }
    }
    out
}

fn any_list() -> impl Strategy<Value = Vec<u8>> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..20);
    let id = (any::<u64>(), any::<u64>()).prop_map(|(ms, seq)| EntryId::new(ms, seq));
    let entry = (id, proptest::collection::vec((bytes(), bytes()), 0..12));
    proptest::collection::vec(entry, 0..6).prop_map(|entries| list(&entries))
}

fn any_reply() -> impl Strategy<Value = Vec<u8>> {
    let others = [
        "+OK\r\n",
        "-ERR no such key\r\n",
        ":-7\r\n",
        "$-1\r\n",
        "*-1\r\n",
        "_\r\n",
        "#t\r\n",
        ",1.5\r\n",
        "%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n$1\r\n\n\r\n",
        "=7\r\ntxt:a\r\n\r\n",
    ];
    prop_oneof![
        any_list(),
        proptest::sample::select(others.to_vec()).prop_map(|text| text.as_bytes().to_vec()),
    ]
}

proptest! {
    #[test]
    fn the_end_is_found_wherever_the_bytes_are_cut(
        replies in proptest::collection::vec(any_reply(), 1..5),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..8),
    ) {
        let all = replies.concat();
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.index(all.len())).collect();
        cuts.sort_unstable();
        let mut scan = Scan::new(replies.len());
        for cut in cuts {
            prop_assert_eq!(scan.advance(&all[..cut]), Ok(None), "{} of {}", cut, all.len());
        }
        prop_assert_eq!(scan.advance(&all), Ok(Some(all.len())));
        let apart = values(&all).unwrap();
        let expected: Vec<_> = replies.iter().map(|one| redis::parse_redis_value(one).unwrap()).collect();
        prop_assert_eq!(apart, expected);
    }

    #[test]
    fn entries_are_those_that_the_client_library_finds(list in any_list()) {
        let kept = |id: EntryId, fields: &Fields<'_>| RawEntry {
            id,
            fields: fields.iter().map(|(name, value)| (name.to_vec().into(), value.to_vec().into())).collect(),
        };
        let expected = parse::entries(redis::parse_redis_value(&list).unwrap()).unwrap();
        prop_assert_eq!(entries(&list, kept), Some(expected));
        let transaction = [b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n", &list[..]].concat();
        let replies = all(&transaction).unwrap();
        prop_assert_eq!(executed(&replies), Ok(vec![&b":1\r\n"[..], &list[..]]));
        let two = Ok((&b":1\r\n"[..], &list[..]));
        prop_assert_eq!(executed_two(&transaction), two.clone());
        // After `ASKING`.
        let asked = [b"+OK\r\n", &transaction[..]].concat();
        prop_assert_eq!(executed_two(&asked), two);
    }

    #[test]
    fn nonsense_is_refused_or_waited_for(
        list in any_list(),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = list;
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Ok(Some(end)) = Scan::new(1).advance(&bytes) {
            prop_assert!(end <= bytes.len());
        }
        let _ = super::list(&bytes, |id, fields| (id, fields.len()));
        let _ = (all(&bytes), executed(&[&bytes]), executed_two(&bytes), streams(&bytes), view(&bytes), invalidated(&bytes));
    }
}

fn text(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

proptest! {
    /// What is read where it lies is what the client library makes of it.
    #[test]
    fn streams_and_views_are_those_that_the_client_library_finds(
        lists in proptest::collection::vec((any::<u16>(), any_list()), 0..4),
        numbers in proptest::collection::vec(0u64..1 << 50, 8),
        first in proptest::option::of(any_list()),
    ) {
        let mut reply = format!("%{}\r\n", lists.len()).into_bytes();
        for (key, list) in &lists {
            bulk(&mut reply, &key.to_be_bytes());
            reply.extend(list);
        }
        let found = streams(&reply).unwrap();
        let found: Vec<_> = found.into_iter().map(|(key, list)| (key.to_vec(), parse::entries(value(list).unwrap()).unwrap())).collect();
        prop_assert_eq!(found, parse::streams(value(&reply).unwrap()).unwrap());

        let id = |ms: u64, seq: u64| format!("{ms}-{seq}");
        let mut info = b"%7\r\n".to_vec();
        bulk(&mut info, b"length");
        info.extend(format!(":{}\r\n", numbers[0] % 3).bytes());
        for (name, pair) in [("last-generated-id", 1), ("max-deleted-entry-id", 3), ("recorded-first-entry-id", 5)] {
            bulk(&mut info, name.as_bytes());
            bulk(&mut info, id(numbers[pair], numbers[pair + 1]).as_bytes());
        }
        bulk(&mut info, b"entries-added");
        info.extend(format!(":{}\r\n", numbers[7]).bytes());
        bulk(&mut info, b"groups");
        info.extend(b":0\r\n");
        bulk(&mut info, b"first-entry");
        // The first of a list, without what stands before it.
        match first.as_deref().and_then(|list| all(&list[list.iter().position(|b| *b == b'\n').unwrap() + 1..]).unwrap().first().copied()) {
            Some(entry) => info.extend(entry),
            None => info.extend(b"_\r\n"),
        }
        prop_assert!(quick_view(&info).is_some());
        prop_assert_eq!(view(&info), parse::view(value(&info).unwrap()));
    }
}

#[test]
fn errors_and_absences_are_what_they_are() {
    let wrong = text("-WRONGTYPE Operation against a key holding the wrong kind of value\n");
    assert_eq!(streams(&wrong), Err(Fault::WrongType));
    assert_eq!(view(&wrong), Err(Fault::WrongType));
    assert_eq!(view(&text("-ERR no such key\n")), Ok(StreamView::ABSENT));
    assert_eq!(streams(b"_\r\n"), Ok(Vec::new()));
    assert_eq!(streams(b":1\r\n"), Err(Fault::Malformed));
    let pairs = text("*1\n*2\n$1\nk\n*0\n");
    assert_eq!(streams(&pairs), Ok(vec![(&b"k"[..], &b"*0\r\n"[..])]));
    assert_eq!(streams(&text("*1\n*3\n$1\nk\n*0\n*0\n")), Err(Fault::Malformed));
    let refused = text(
        "+OK\n-OOM command not allowed when used memory > 'maxmemory'.\n-EXECABORT Transaction discarded because of previous errors.\n",
    );
    assert_eq!(executed(&all(&refused).unwrap()), Err(Fault::Full));
    let moved = text("+OK\n+QUEUED\n-LOADING Redis is loading the dataset in memory\n");
    assert!(matches!(executed(&all(&moved).unwrap()), Err(Fault::NotNow(_))));
    assert_eq!(executed(&[]), Err(Fault::Malformed));
    // An entry that was deleted while the server took it up has no fields.
    let list = text("*1\n*2\n$3\n5-1\n*-1\n");
    assert_eq!(
        super::list(&list, |id, fields| (id, fields.len())),
        Ok(vec![(EntryId::new(5, 1), 0)])
    );
}

#[test]
fn lengths_beyond_all_bounds_are_refused() {
    for nonsense in [
        "\r\n",
        "?\r\n",
        "$99999999999\r\n",
        "$x\r\n",
        "*-2\r\n",
        "$\r\n",
        ">1\r\n+x\r\n",
    ] {
        assert_eq!(
            Scan::new(1).advance(nonsense.as_bytes()),
            Err(Fault::Malformed),
            "{nonsense:?}"
        );
    }
    let endless = vec![b'+'; LINE_BYTES_MAX + 1];
    assert_eq!(Scan::new(1).advance(&endless), Err(Fault::Malformed));
    assert_eq!(Scan::new(1).advance(&endless[..100]), Ok(None));
}
