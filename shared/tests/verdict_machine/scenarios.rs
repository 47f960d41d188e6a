//! Single stories: what was once told wrong, what cannot be told at all, and what a token may hold.

use proptest::prelude::*;
use shared::verdict::{Assessment, Look, assess, compare, resume_at};
use shared::{Cursor, EntryId, StreamView, Verdict};

use crate::model::{Reader, World};

/// A world with `count` entries, a millisecond apart.
fn world_of(count: usize) -> World {
    let mut world = World::default();
    (0..count).for_each(|_| world.add(1));
    world
}

fn told(reader: &Reader, world: &World) -> Verdict {
    reader.clone().page(&world.stream, usize::MAX).verdict
}

#[test]
fn what_was_removed_unseen_is_told_by_the_page_that_reaches_the_tail() {
    let mut world = world_of(10);
    let mut reader = Reader::at_entry(&world.stream, 3);
    world.delete(8);
    world.delete(6);
    let first = reader.page(&world.stream, 2);
    assert_eq!((first.verdict, first.counted), (Verdict::Continuous, false));
    assert_eq!(reader.page(&world.stream, 4).verdict, Verdict::Gap { lost: 2 });
    assert_eq!(told(&reader, &world), Verdict::Continuous);
}

#[test]
fn a_rollback_behind_the_cursor_is_a_reset_even_if_the_count_fits() {
    let mut world = world_of(4);
    world.snapshot();
    world.add(1);
    let reader = Reader::at_head(&world.stream);
    assert_eq!(reader.cursor, Cursor::new(EntryId::new(5, 0), 5));
    // The new fifth entry has a lower ID, as many follow as should, and something was removed, if not the cursor's.
    world.roll_back(0, 1);
    world.add(0);
    (0..3).for_each(|_| world.add(2));
    world.trim_to(7);
    assert_eq!(told(&reader, &world), Verdict::Reset);
}

#[test]
fn a_gap_is_never_larger_than_what_was_removed() {
    let mut world = World::default();
    world.snapshot();
    (0..10).for_each(|_| world.add(1));
    let reader = Reader::at_entry(&world.stream, 1);
    // A new history of six, whole, holds the cursor's ID with fewer behind it than should be.
    world.roll_back(0, 100);
    [1, 0, 0, 0, 1, 1].into_iter().for_each(|step| world.add(step));
    assert!(world.stream.view().nothing_removed());
    assert_eq!(told(&reader, &world), Verdict::Reset);
}

#[test]
fn a_rollback_ahead_of_the_cursor_goes_unnoticed_and_may() {
    let mut world = world_of(4);
    world.snapshot();
    let reader = Reader::at_entry(&world.stream, 1);
    (0..3).for_each(|_| world.add(1));
    world.roll_back(0, 0);
    world.add(1);
    // It saw two entries, and gets the two and the one that follow them in the history that counts.
    assert_eq!(told(&reader, &world), Verdict::Continuous);
}

#[test]
fn the_same_id_at_the_same_ordinal_cannot_be_told_apart() {
    let mut world = world_of(4);
    world.snapshot();
    world.add(1);
    let reader = Reader::at_head(&world.stream);
    world.roll_back(0, 1);
    world.add(1);
    assert_eq!(Reader::at_head(&world.stream).cursor, reader.cursor);
    assert_eq!(told(&reader, &world), Verdict::Continuous);
}

#[test]
fn a_history_whose_beginning_is_gone_is_taken_for_the_readers_own() {
    let mut world = world_of(4);
    let reader = Reader::at_head(&world.stream);
    world.recreate();
    (0..7).for_each(|_| world.add(1));
    assert_eq!(told(&reader, &world), Verdict::Reset);
    world.trim_to(2);
    // Four before the cursor, one trimmed, two left: so it could have been.
    assert_eq!(told(&reader, &world), Verdict::Gap { lost: 1 });
    world.trim_to(3);
    world.recreate();
    (0..7).for_each(|_| world.add(1));
    world.trim_to(3);
    assert_eq!(told(&reader, &world), Verdict::Continuous);
}

#[test]
fn a_bare_id_proves_only_what_was_never_touched() {
    let mut world = world_of(4);
    let bare = |ms: u64| Cursor::bare(EntryId::new(ms, 0));
    let assessed = |cursor: Cursor, world: &World| {
        let look = Look {
            present: true,
            after: None,
        };
        assess(cursor, &world.stream.view(), look)
    };
    assert_eq!(
        assessed(bare(2), &world),
        Assessment::Settled(Verdict::Continuous)
    );
    assert_eq!(assessed(bare(5), &world), Assessment::Settled(Verdict::Reset));
    world.delete(0);
    assert_eq!(
        assessed(bare(2), &world),
        Assessment::Settled(Verdict::Unverified)
    );
    assert!(world.stream.view().intact_after(EntryId::new(2, 0)));
    world.delete(2);
    assert!(!world.stream.view().intact_after(EntryId::new(2, 0)));
    assert!(world.stream.view().intact_after(EntryId::new(4, 0)));
}

#[test]
fn a_reader_goes_on_where_the_verdict_leaves_it() {
    let view = world_of(4).stream.view();
    let cursor = Cursor::new(EntryId::new(2, 0), 2);
    assert_eq!(resume_at(cursor, Verdict::Continuous, &view), cursor);
    assert_eq!(resume_at(cursor, Verdict::Unverified, &view), cursor);
    assert_eq!(
        resume_at(cursor, Verdict::Gap { lost: 3 }, &view),
        Cursor::new(cursor.id, 5)
    );
    assert_eq!(resume_at(cursor, Verdict::Reset, &view), Cursor::bare(cursor.id));
    let ahead = Cursor::new(EntryId::new(9, 0), 9);
    assert_eq!(resume_at(ahead, Verdict::Reset, &view), view.head());
}

fn any_id() -> impl Strategy<Value = EntryId> {
    let half = || prop_oneof![0..3u64, u64::MAX - 2..=u64::MAX];
    (half(), half()).prop_map(|(ms, seq)| EntryId::new(ms, seq))
}

proptest! {
    /// A token or a reply may hold anything; the arithmetic takes it.
    #[test]
    fn absurd_numbers_are_survived(
        (added, length, n, after) in (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>()),
        (id, first, last_generated, max_deleted) in (any_id(), proptest::option::of(any_id()), any_id(), any_id()),
        (present, known) in (any::<bool>(), any::<bool>()),
    ) {
        let view = StreamView { added, length, first, last_generated, max_deleted };
        for cursor in [Cursor::new(id, n), Cursor::bare(id)] {
            let verdict = compare(cursor, &view, present, after);
            resume_at(cursor, verdict, &view);
            let look = Look { present, after: known.then_some(after) };
            if let Assessment::Settled(verdict) = assess(cursor, &view, look) {
                resume_at(cursor, verdict, &view);
            }
        }
        view.front();
        view.intact_after(id);
    }
}
