//! The window against a model of an edge that takes, refuses, puts off, and is cut off.

use proptest::prelude::*;
use shared::EntryId;
use shared::limits::PUBLISH_FRAME_BYTES;

use super::*;

fn line(number: u64) -> Line {
    Line {
        number,
        wire: Bytes::from(format!("{number}\n")),
    }
}

fn numbers_of(frame: &Bytes) -> Vec<u64> {
    let text = String::from_utf8_lossy(frame);
    text.lines().map(|line| line.parse().unwrap()).collect()
}

fn published(ms: u64) -> Answer {
    let id = Some(EntryId::new(ms, 0));
    Answer::Published { id, duplicate: false }
}

fn settled(misplaced: bool) -> Result<Settled, Unasked> {
    let duplicate = false;
    Ok(Settled::Published { duplicate, misplaced })
}

#[test]
fn what_is_put_off_goes_first_in_the_next_request() {
    let mut window = Window::default();
    (1..=5).for_each(|n| window.push(line(n)));
    assert_eq!(
        numbers_of(&window.next_frame(PUBLISH_FRAME_BYTES)),
        [1, 2, 3, 4, 5]
    );
    window.push(line(6));
    assert_eq!(window.answered(published(10)), settled(false));
    assert!(matches!(
        window.answered(Answer::Again("full".into())),
        Ok(Settled::Again { .. })
    ));
    assert_eq!(window.answered(published(11)), settled(false));
    assert_eq!((window.unacknowledged(), window.span()), (4, Some((2, 6))));
    assert_eq!(window.request_ended(), 3);
    assert_eq!(numbers_of(&window.next_frame(PUBLISH_FRAME_BYTES)), [2, 4, 5, 6]);
    assert_eq!(
        window.answered(published(12)),
        settled(true),
        "two stands behind three"
    );
    assert!(matches!(
        window.answered(Answer::Refused("no".into())),
        Ok(Settled::Refused { number: 4, .. })
    ));
    assert_eq!(window.answered(published(13)), settled(false));
}

#[test]
fn the_places_tell_of_an_order_that_was_changed_on_the_other_side() {
    let mut window = Window::default();
    (1..=4).for_each(|n| window.push(line(n)));
    window.next_frame(PUBLISH_FRAME_BYTES);
    assert_eq!(window.answered(published(10)), settled(false));
    assert_eq!(window.answered(published(12)), settled(false));
    assert_eq!(window.answered(published(11)), settled(true));
    assert_eq!(window.answered(published(13)), settled(false));
}

#[test]
fn an_answer_without_a_line_is_an_error() {
    let mut window = Window::default();
    window.push(line(1));
    assert_eq!(window.answered(published(1)), Err(Unasked));
}

#[test]
fn a_long_line_is_a_frame_of_its_own_and_memory_is_bounded() {
    let mut window = Window::default();
    window.push(line(1));
    let long = Bytes::from(vec![b'x'; PUBLISH_FRAME_BYTES]);
    window.push(Line {
        number: 2,
        wire: long.clone(),
    });
    assert_eq!(numbers_of(&window.next_frame(PUBLISH_FRAME_BYTES)), [1]);
    assert_eq!(
        window.next_frame(PUBLISH_FRAME_BYTES).as_ptr(),
        long.as_ptr(),
        "it is not copied"
    );
    let mut count = 2;
    while window.has_room() {
        count += 1;
        window.push(Line {
            number: count,
            wire: long.clone(),
        });
    }
    let bytes = window.unacknowledged() * PUBLISH_FRAME_BYTES;
    assert!(bytes <= PUBLISH_BYTES_UNACKNOWLEDGED_MAX + 2 * PUBLISH_FRAME_BYTES);
}

/// An edge that remembers keys: brings the answer to a line that it gets, with its place in the stream.
fn take(stream: &mut Vec<u64>, number: u64) -> Answer {
    if number.is_multiple_of(7) {
        return Answer::Refused(String::new());
    }
    let known = stream.iter().position(|n| *n == number);
    let place = known.unwrap_or_else(|| {
        stream.push(number);
        stream.len() - 1
    });
    Answer::Published {
        id: Some(EntryId::new(place as u64 + 1, 0)),
        duplicate: known.is_some(),
    }
}

proptest! {
    /// Whatever an edge that remembers keys does, every line that is not refused is published once; and in order,
    /// if it never puts off a line and takes the next one. If it does, that is noticed.
    #[test]
    fn nothing_is_lost_doubled_or_out_of_order(
        steps in proptest::collection::vec((0u8..6, 0usize..8), 0..200),
        puts_off in any::<bool>(),
    ) {
        let mut window = Window::default();
        let (mut stream, mut refused, mut misplaced) = (Vec::new(), Vec::new(), 0);
        let mut wire: VecDeque<u64> = VecDeque::new();
        let mut read = 0;
        // In the end everything is read, sent and answered.
        let steps = steps.into_iter().chain([(2, 0), (1, 0), (5, usize::MAX)]);
        for (step, amount) in steps {
            match step {
                0 => for _ in 0..amount {
                    read += 1;
                    window.push(line(read));
                },
                1 if window.has_waiting() => wire.extend(numbers_of(&window.next_frame(PUBLISH_FRAME_BYTES))),
                // Cut off: the edge may have taken some of what was on the way.
                2 => {
                    for number in wire.drain(..).take(amount) {
                        take(&mut stream, number);
                    }
                    window.request_ended();
                }
                3 if puts_off && !wire.is_empty() => {
                    wire.pop_front();
                    window.answered(Answer::Again(String::new())).unwrap();
                }
                _ => for number in wire.drain(..amount.min(wire.len())) {
                    match window.answered(take(&mut stream, number)).unwrap() {
                        Settled::Refused { number, .. } => refused.push(number),
                        Settled::Published { misplaced: true, .. } => misplaced += 1,
                        _ => {}
                    }
                },
            }
        }
        prop_assert_eq!((window.unacknowledged(), window.bytes), (0, 0));
        prop_assert_eq!(misplaced > 0, !stream.is_sorted());
        prop_assert!(puts_off || (stream.is_sorted() && refused.is_sorted()));
        stream.sort_unstable();
        refused.sort_unstable();
        prop_assert_eq!(stream, (1..=read).filter(|n| n % 7 != 0).collect::<Vec<_>>());
        prop_assert_eq!(refused, (1..=read).filter(|n| n % 7 == 0).collect::<Vec<_>>());
    }
}
