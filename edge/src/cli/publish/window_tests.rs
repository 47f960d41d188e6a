//! The window against a model of an edge that takes, refuses, puts off, and is cut off.

use proptest::prelude::*;
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

#[test]
fn what_is_put_off_goes_first_in_the_next_request() {
    let mut window = Window::default();
    (1..=5).for_each(|n| window.push(line(n)));
    assert_eq!(
        numbers_of(&window.next_frame(PUBLISH_FRAME_BYTES)),
        [1, 2, 3, 4, 5]
    );
    window.push(line(6));
    let published = Answer::Published { duplicate: false };
    assert!(matches!(
        window.answered(published.clone()),
        Ok(Settled::Published { overtook: false, .. })
    ));
    assert!(matches!(
        window.answered(Answer::Again("full".into())),
        Ok(Settled::Again { .. })
    ));
    assert!(matches!(
        window.answered(published),
        Ok(Settled::Published { overtook: true, .. })
    ));
    assert_eq!((window.unacknowledged(), window.span()), (4, Some((2, 6))));
    assert_eq!(window.request_ended(), 3);
    assert_eq!(numbers_of(&window.next_frame(PUBLISH_FRAME_BYTES)), [2, 4, 5, 6]);
    assert!(matches!(
        window.answered(Answer::Refused("no".into())),
        Ok(Settled::Refused { number: 2, .. })
    ));
}

#[test]
fn an_answer_without_a_line_is_an_error() {
    let mut window = Window::default();
    window.push(line(1));
    assert_eq!(
        window.answered(Answer::Published { duplicate: false }),
        Err(Unasked)
    );
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

proptest! {
    /// Whatever an edge that remembers keys does, every line that is not refused is published once, and if it never
    /// puts off a line that it takes the next of, in order.
    #[test]
    fn nothing_is_lost_doubled_or_out_of_order(
        steps in proptest::collection::vec((0u8..6, 0u64..8), 0..200),
        put_off in any::<bool>(),
    ) {
        let mut window = Window::default();
        let (mut stream, mut refused) = (Vec::new(), Vec::new());
        let mut wire: VecDeque<u64> = VecDeque::new();
        let mut read = 0;
        for (step, amount) in steps {
            match step {
                0 => for _ in 0..amount {
                    read += 1;
                    window.push(line(read));
                },
                1 if window.has_waiting() => wire.extend(numbers_of(&window.next_frame(PUBLISH_FRAME_BYTES))),
                // Cut off: the edge may have taken some of what was on the way.
                2 => {
                    for number in wire.drain(..).take(usize::try_from(amount).unwrap()) {
                        if !stream.contains(&number) && number % 7 != 0 {
                            stream.push(number);
                        }
                    }
                    window.request_ended();
                }
                3 if put_off && !wire.is_empty() => {
                    wire.pop_front();
                    window.answered(Answer::Again(String::new())).unwrap();
                }
                _ => for _ in 0..amount {
                    let Some(number) = wire.pop_front() else { break };
                    let duplicate = stream.contains(&number);
                    let answer = if number % 7 == 0 {
                        Answer::Refused(String::new())
                    } else {
                        if !duplicate {
                            stream.push(number);
                        }
                        Answer::Published { duplicate }
                    };
                    match window.answered(answer).unwrap() {
                        Settled::Refused { number, .. } => refused.push(number),
                        settled => {
                            let in_order = matches!(settled, Settled::Published { overtook: false, .. });
                            prop_assert!(put_off || in_order);
                        }
                    }
                },
            }
        }
        window.request_ended();
        while window.has_waiting() {
            for number in numbers_of(&window.next_frame(PUBLISH_FRAME_BYTES)) {
                let answer = if number % 7 == 0 {
                    Answer::Refused(String::new())
                } else {
                    if !stream.contains(&number) {
                        stream.push(number);
                    }
                    Answer::Published { duplicate: false }
                };
                if let Settled::Refused { number, .. } = window.answered(answer).unwrap() {
                    refused.push(number);
                }
            }
        }
        prop_assert_eq!(window.unacknowledged(), 0);
        prop_assert_eq!(window.bytes, 0);
        if put_off {
            stream.sort_unstable();
            refused.sort_unstable();
        }
        prop_assert_eq!(stream, (1..=read).filter(|n| n % 7 != 0).collect::<Vec<_>>());
        prop_assert_eq!(refused, (1..=read).filter(|n| n % 7 == 0).collect::<Vec<_>>());
    }
}
