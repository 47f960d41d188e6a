//! The checker must fail on everything that it is there to find: each kind of fault once by hand, then any fault
//! at any place of a right record, by property.

use proptest::prelude::*;
use shared::EntryId;

use super::{Begin, Event, Findings, Item, Logged, Removal, StreamTruth, check, check_part};

fn event(n: u32) -> Event {
    Event {
        id: EntryId::new(1_000 + u64::from(n / 3), u64::from(n % 3)),
        producer: 1,
        seq: n,
    }
}

/// Event `n` of the `history`-th history, when each has IDs above those of the one before.
fn later(history: u64, n: u32) -> Event {
    Event {
        id: EntryId::new(1_000_000 * history + u64::from(n), 0),
        producer: 2,
        seq: n + 1_000 * history as u32,
    }
}

fn logged(events: impl IntoIterator<Item = Event>, removed: &[u32]) -> Vec<Logged> {
    events
        .into_iter()
        .enumerate()
        .map(|(index, event)| Logged {
            event,
            removed: removed.contains(&(index as u32)),
        })
        .collect()
}

fn plain(count: u32) -> StreamTruth {
    trimmed(count, &[])
}

fn trimmed(count: u32, removed: &[u32]) -> StreamTruth {
    StreamTruth {
        histories: vec![logged((0..count).map(event), removed)],
        removal: Removal::Front,
        rolled_back: false,
    }
}

fn got(event: Event, ordinal: u64) -> Item {
    Item::Event {
        event,
        ordinal: Some(ordinal),
    }
}

/// The events numbered `range`, with right ordinals.
fn run(range: std::ops::Range<u32>) -> Vec<Item> {
    range.map(|n| got(event(n), u64::from(n) + 1)).collect()
}

fn judge(truth: &StreamTruth, items: &[Item]) -> Findings {
    check(truth, Begin::Start, items)
}

/// The counts alone, without words.
fn faults(truth: &StreamTruth, items: &[Item]) -> Findings {
    let found = judge(truth, items);
    assert_eq!(found.faults() == 0, found.notes.is_empty(), "{found:?}");
    assert_eq!(found.faults() == 0, found.first_fault_at.is_none(), "{found:?}");
    Findings {
        events: 0,
        gaps: 0,
        lost_told: 0,
        resets: 0,
        first_fault_at: None,
        notes: Vec::new(),
        ..found
    }
}

#[test]
fn a_complete_record_is_right() {
    let found = judge(&plain(10), &run(0..10));
    assert_eq!((found.faults(), found.events), (0, 10));
}

#[test]
fn a_lost_event_is_found() {
    let items = [run(0..4), run(5..10)].concat();
    let expected = Findings {
        missing: 1,
        ..Findings::default()
    };
    assert_eq!(faults(&plain(10), &items), expected);
}

#[test]
fn the_loss_of_the_first_or_the_last_event_is_found() {
    let expected = Findings {
        missing: 1,
        ..Findings::default()
    };
    assert_eq!(faults(&plain(10), &run(1..10)), expected);
    assert_eq!(faults(&plain(10), &run(0..9)), expected);
}

#[test]
fn nothing_received_is_everything_missing() {
    let expected = Findings {
        missing: 10,
        ..Findings::default()
    };
    assert_eq!(faults(&plain(10), &[]), expected);
    assert_eq!(check(&plain(10), Begin::Anywhere, &[]).missing, 10);
}

#[test]
fn a_doubled_event_is_found() {
    let items = [run(0..5), run(4..10)].concat();
    let expected = Findings {
        doubled: 1,
        ..Findings::default()
    };
    assert_eq!(faults(&plain(10), &items), expected);
}

#[test]
fn swapped_events_are_found() {
    let mut items = run(0..10);
    items.swap(4, 5);
    let expected = Findings {
        out_of_order: 1,
        ..Findings::default()
    };
    assert_eq!(faults(&plain(10), &items), expected);
}

#[test]
fn an_event_that_was_never_in_the_log_is_found() {
    let mut items = run(0..10);
    items.insert(5, got(later(7, 7), 6));
    let expected = Findings {
        unknown: 1,
        ..Findings::default()
    };
    assert_eq!(faults(&plain(10), &items), expected);
}

#[test]
fn the_right_id_with_another_events_data_is_found() {
    let mut items = run(0..10);
    items[5] = got(Event { seq: 77, ..event(5) }, 6);
    let found = faults(&plain(10), &items);
    assert_eq!((found.unknown, found.missing), (1, 1));
}

#[test]
fn a_wrong_ordinal_is_found() {
    let mut items = run(0..10);
    items[5] = got(event(5), 7);
    let expected = Findings {
        wrong_ordinals: 1,
        ..Findings::default()
    };
    assert_eq!(faults(&plain(10), &items), expected);
}

#[test]
fn a_cursor_without_an_ordinal_is_found() {
    let mut items = run(0..10);
    items[5] = Item::Event {
        event: event(5),
        ordinal: None,
    };
    let expected = Findings {
        unproven: 1,
        ..Findings::default()
    };
    assert_eq!(faults(&plain(10), &items), expected);
}

#[test]
fn a_gap_with_the_right_count_is_right() {
    let truth = trimmed(10, &[0, 1, 2, 3, 4]);
    let told = |lost| [run(0..2), vec![Item::Gap { lost }], run(5..10)].concat();
    let found = judge(&truth, &told(3));
    assert_eq!((found.faults(), found.gaps, found.lost_told), (0, 1, 3));
    let in_two = [
        run(0..2),
        vec![Item::Gap { lost: 1 }, Item::Gap { lost: 2 }],
        run(5..10),
    ]
    .concat();
    assert_eq!(judge(&truth, &in_two).faults(), 0);
}

#[test]
fn a_gap_with_a_wrong_count_is_found() {
    let truth = trimmed(10, &[0, 1, 2, 3, 4]);
    for lost in [1, 2, 4, 5] {
        let items = [run(0..2), vec![Item::Gap { lost }], run(5..10)].concat();
        let expected = Findings {
            wrong_gaps: 1,
            ..Findings::default()
        };
        assert_eq!(faults(&truth, &items), expected, "{lost} told");
    }
}

#[test]
fn trimming_without_a_gap_is_found() {
    let truth = trimmed(10, &[0, 1, 2, 3, 4]);
    let items = [run(0..2), run(5..10)].concat();
    let expected = Findings {
        missing: 3,
        ..Findings::default()
    };
    assert_eq!(faults(&truth, &items), expected);
}

#[test]
fn a_gap_over_entries_that_exist_is_found() {
    let truth = trimmed(10, &[0, 1, 2, 3]);
    let items = [run(0..2), vec![Item::Gap { lost: 3 }], run(5..10)].concat();
    assert!(judge(&truth, &items).faults() > 0);
}

#[test]
fn a_gap_where_nothing_is_missing_is_found() {
    let truth = trimmed(10, &[0, 1, 2, 3, 4]);
    let items = [run(0..7), vec![Item::Gap { lost: 1 }], run(7..10)].concat();
    let expected = Findings {
        wrong_gaps: 1,
        ..Findings::default()
    };
    assert_eq!(faults(&truth, &items), expected);
    let at_the_end = [run(0..10), vec![Item::Gap { lost: 1 }]].concat();
    assert_eq!(faults(&truth, &at_the_end), expected);
}

#[test]
fn a_gap_that_is_told_after_the_next_event_is_found_unless_deletions_may_hide_inside() {
    let mut truth = trimmed(10, &[2, 3]);
    let items = [run(0..2), run(4..7), vec![Item::Gap { lost: 2 }], run(7..10)].concat();
    assert!(judge(&truth, &items).faults() > 0);
    truth.removal = Removal::Anywhere;
    assert_eq!(judge(&truth, &items).faults(), 0);
}

#[test]
fn deletions_inside_must_be_told_by_the_end_and_exactly() {
    let truth = StreamTruth {
        removal: Removal::Anywhere,
        ..trimmed(10, &[2, 3])
    };
    let told = |lost| [run(0..2), run(4..7), vec![Item::Gap { lost }], run(7..10)].concat();
    for lost in [1, 3] {
        assert!(judge(&truth, &told(lost)).faults() > 0, "{lost} told");
    }
    assert_eq!(judge(&truth, &[run(0..2), run(4..10)].concat()).missing, 2);
    // Received before it was deleted: then it is not lost.
    assert_eq!(judge(&truth, &run(0..10)).faults(), 0);
    let both = [run(0..10), vec![Item::Gap { lost: 2 }]].concat();
    assert_eq!(judge(&truth, &both).wrong_gaps, 1);
}

#[test]
fn unverified_is_a_fault_where_a_proof_is_possible() {
    let mut items = run(0..10);
    items.insert(5, Item::Unverified);
    let expected = Findings {
        unproven: 1,
        ..Findings::default()
    };
    assert_eq!(faults(&plain(10), &items), expected);
}

#[test]
fn one_who_began_at_a_position_needs_what_is_behind_it() {
    let truth = plain(10);
    let after = |n: u32, items: &[Item]| check(&truth, Begin::After(event(n).id), items);
    assert_eq!(after(3, &run(4..10)).faults(), 0);
    assert_eq!(after(3, &run(5..10)).missing, 1);
    assert_eq!(after(9, &[]).faults(), 0);
    assert_eq!(after(3, &run(3..10)).out_of_order, 1);
}

#[test]
fn one_who_gave_up_needs_only_what_lies_between() {
    let truth = plain(10);
    let part = |items: &[Item]| check_part(&truth, Begin::Anywhere, items);
    assert_eq!(part(&run(2..7)).faults(), 0);
    assert_eq!(part(&[]).faults(), 0);
    assert_eq!(part(&[run(2..4), run(5..7)].concat()).missing, 1);
}

fn recreated() -> StreamTruth {
    StreamTruth {
        histories: vec![
            logged((0..10).map(event), &[]),
            logged((0..5).map(|n| later(1, n)), &[]),
            logged((0..5).map(|n| later(2, n)), &[]),
        ],
        removal: Removal::Front,
        rolled_back: false,
    }
}

fn later_run(history: u64, range: std::ops::Range<u32>) -> Vec<Item> {
    range.map(|n| got(later(history, n), u64::from(n) + 1)).collect()
}

fn reset(resumes_after: EntryId) -> Vec<Item> {
    vec![Item::Reset { resumes_after }]
}

#[test]
fn a_re_created_stream_needs_a_reset() {
    let truth = recreated();
    let right = [
        run(0..6),
        reset(event(5).id),
        later_run(1, 0..5),
        reset(later(1, 4).id),
        later_run(2, 0..5),
    ]
    .concat();
    assert_eq!(
        (judge(&truth, &right).faults(), judge(&truth, &right).resets),
        (0, 2)
    );
    let slept_over_one = [run(0..6), reset(EntryId::ZERO), later_run(2, 0..5)].concat();
    assert_eq!(judge(&truth, &slept_over_one).faults(), 0);
    let joined_late = later_run(2, 0..5);
    assert_eq!(judge(&truth, &joined_late).faults(), 0);
    let untold = [run(0..6), later_run(2, 0..5)].concat();
    assert_eq!(judge(&truth, &untold).missing, 1);
    let never_left = run(0..10);
    assert_eq!(judge(&truth, &never_left).missing, 5);
    let lost_after = [run(0..6), reset(event(5).id), later_run(2, 1..5)].concat();
    assert_eq!(judge(&truth, &lost_after).missing, 1);
    let too_far = [run(0..6), reset(later(2, 0).id), later_run(2, 1..5)].concat();
    assert_eq!(judge(&truth, &too_far).wrong_resets, 1);
}

#[test]
fn a_reset_without_a_reason_is_found() {
    let items = [run(0..6), reset(event(5).id), run(6..10)].concat();
    let expected = Findings {
        wrong_resets: 1,
        ..Findings::default()
    };
    assert_eq!(faults(&plain(10), &items), expected);
}

/// Ten events; after the sixth the stream was set back to its first six, and went on otherwise.
fn set_back() -> StreamTruth {
    let shared = (0..6).map(event);
    StreamTruth {
        histories: vec![
            logged((0..10).map(event), &[]),
            logged(shared.chain((0..4).map(|n| later(1, n))), &[]),
        ],
        removal: Removal::Front,
        rolled_back: false,
    }
}

#[test]
fn a_roll_back_needs_a_reset_only_for_those_who_saw_what_is_gone() {
    let truth = set_back();
    let tail: Vec<Item> = (0..4).map(|n| got(later(1, n), u64::from(n) + 7)).collect();
    let saw = [run(0..9), reset(event(8).id), tail.clone()].concat();
    assert_eq!(judge(&truth, &saw).faults(), 0);
    let did_not_see = [run(0..6), tail.clone()].concat();
    assert_eq!(judge(&truth, &did_not_see).faults(), 0);
    let untold = [run(0..9), tail.clone()].concat();
    assert!(judge(&truth, &untold).missing > 0);
    let told_for_nothing = [run(0..5), reset(event(4).id), run(5..6), tail].concat();
    assert_eq!(judge(&truth, &told_for_nothing).wrong_resets, 1);
}

#[test]
fn an_edge_that_lags_behind_a_roll_back_has_to_tell_of_it_once_more() {
    let truth = set_back();
    let tail: Vec<Item> = (0..4).map(|n| got(later(1, n), u64::from(n) + 7)).collect();
    let back = [run(0..9), reset(event(5).id), run(6..8)].concat();
    let told = [back.clone(), reset(event(5).id), tail.clone()].concat();
    assert_eq!(judge(&truth, &told).faults(), 0);
    assert!(judge(&truth, &[back.clone(), tail].concat()).missing > 0);
    assert!(judge(&truth, &back).missing > 0);
    // From a position of its own it cannot go on there.
    let elsewhere = [run(0..9), reset(later(1, 0).id), run(6..8)].concat();
    assert!(judge(&truth, &elsewhere).faults() > 0);
}

#[test]
fn events_that_the_server_lost_need_a_reset() {
    let truth = StreamTruth {
        histories: vec![logged((0..6).map(event).chain((0..4).map(|n| later(1, n))), &[])],
        removal: Removal::Front,
        rolled_back: true,
    };
    let tail: Vec<Item> = (0..4).map(|n| got(later(1, n), u64::from(n) + 7)).collect();
    // Events 6 to 8 are in no history.
    let told = [run(0..9), reset(event(8).id), tail.clone()].concat();
    assert_eq!(judge(&truth, &told).faults(), 0);
    let untold = [run(0..9), tail.clone()].concat();
    assert!(judge(&truth, &untold).faults() > 0);
    let at_the_end = run(0..9);
    assert!(judge(&truth, &at_the_end).faults() > 0);
    let by_an_edge_that_lags = [run(0..9), reset(event(5).id), run(6..8)].concat();
    assert!(judge(&truth, &by_an_edge_that_lags).faults() > 0);
    let once_more = [by_an_edge_that_lags, reset(event(5).id), tail].concat();
    assert_eq!(judge(&truth, &once_more).faults(), 0);
}

/// How a right record is spoilt.
#[derive(Debug, Clone, Copy)]
enum Spoil {
    Lose,
    Double,
    Swap,
    Miscount,
}

proptest! {
    #[test]
    fn any_fault_at_any_place_is_found(
        count in 3u32..40,
        trim in 0u32..20,
        at in any::<prop::sample::Index>(),
        how in prop::sample::select(vec![Spoil::Lose, Spoil::Double, Spoil::Swap, Spoil::Miscount]),
    ) {
        let trim = trim.min(count - 2);
        let truth = trimmed(count, &(0..trim).collect::<Vec<_>>());
        let mut items = run(trim..count);
        if trim > 0 {
            items.insert(0, Item::Gap { lost: u64::from(trim) });
        }
        let right = judge(&truth, &items);
        prop_assert_eq!(right.faults(), 0, "{:?}", right);
        let at = at.index(items.len());
        match how {
            Spoil::Lose => drop(items.remove(at)),
            Spoil::Double => items.insert(at, items[at]),
            Spoil::Swap => {
                let at = at.min(items.len() - 2);
                items.swap(at, at + 1);
            }
            Spoil::Miscount => items.insert(at, Item::Gap { lost: 1 }),
        }
        prop_assert!(judge(&truth, &items).faults() > 0, "{:?}", how);
    }
}
