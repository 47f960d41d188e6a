//! The verdict arithmetic as readers run it, against a stream that remembers what really happened: entries are added,
//! trimmed and deleted, the key is deleted and made anew, the server falls back to an earlier state under a clock
//! that may step back, and readers page through all that, at every pace.
#![allow(clippy::unwrap_used)]

mod model;
mod scenarios;

use std::cell::RefCell;
use std::collections::BTreeMap;

use model::{Reader, Stream, Told, World};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use shared::Verdict;

const READERS: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    Add { count: usize, clock_step_ms: i64 },
    Delete(usize),
    Trim(usize),
    Recreate,
    Snapshot,
    RollBack { nth: usize, clock_back_ms: u64 },
    Begin { reader: usize, at: Place },
    Read { reader: usize, limit: usize },
    Page { reader: usize, limit: usize },
}

#[derive(Debug, Clone)]
enum Place {
    Start,
    Front,
    Head,
    Entry(usize),
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![
        Just(Place::Start),
        Just(Place::Front),
        Just(Place::Head),
        (0..20usize).prop_map(Place::Entry),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..5usize, -2..4i64).prop_map(|(count, clock_step_ms)| Step::Add { count, clock_step_ms }),
        3 => (0..20usize).prop_map(Step::Delete),
        1 => (0..12usize).prop_map(Step::Trim),
        1 => Just(Step::Recreate),
        2 => Just(Step::Snapshot),
        2 => (0..8usize, 0..8u64).prop_map(|(nth, clock_back_ms)| Step::RollBack { nth, clock_back_ms }),
        3 => (0..READERS, place()).prop_map(|(reader, at)| Step::Begin { reader, at }),
        2 => (0..READERS, 1..5usize).prop_map(|(reader, limit)| Step::Read { reader, limit }),
        8 => (0..READERS, 1..8usize).prop_map(|(reader, limit)| Step::Page { reader, limit }),
    ]
}

/// What a reader may be told, given what is true.
fn judge(told: Told, before: &Reader, stream: &Stream) -> Result<&'static str, TestCaseError> {
    if told.own {
        return match told.verdict {
            Verdict::Gap { lost } => {
                prop_assert!(lost > 0);
                prop_assert_eq!(lost, told.lost);
                Ok("own: gap")
            }
            // Not counted yet: the page that reaches the tail is to tell.
            Verdict::Continuous if !told.counted && told.lost > 0 => Ok("own: gap to be told later"),
            Verdict::Continuous => {
                prop_assert_eq!(told.lost, 0);
                Ok("own: continuous")
            }
            verdict => Err(TestCaseError::fail(format!(
                "{verdict:?} in the reader's own history"
            ))),
        };
    }
    if told.verdict == Verdict::Reset {
        return Ok("other: reset");
    }
    prop_assert!(!before.stands_nowhere(stream));
    if told.counted {
        // What cannot be told apart: it must at least not be this plain.
        prop_assert!(before.stands_in_whole(stream).is_none_or(|stands| stands));
        return Ok("other: not to be told apart");
    }
    Ok("other: not counted yet")
}

fn run(steps: &[Step], tally: &RefCell<BTreeMap<&'static str, u64>>) -> Result<(), TestCaseError> {
    let mut world = World::default();
    let mut readers: Vec<Reader> = (0..READERS).map(|_| Reader::at_start()).collect();
    for step in steps {
        match *step {
            Step::Add { count, clock_step_ms } => (0..count).for_each(|_| world.add(clock_step_ms)),
            Step::Delete(nth) => world.delete(nth),
            Step::Trim(keep) => world.trim_to(keep),
            Step::Recreate => world.recreate(),
            Step::Snapshot => world.snapshot(),
            Step::RollBack { nth, clock_back_ms } => world.roll_back(nth, clock_back_ms),
            Step::Begin { reader, ref at } => {
                readers[reader] = match *at {
                    Place::Start => Reader::at_start(),
                    Place::Front => Reader::at_front(&world.stream),
                    Place::Head => Reader::at_head(&world.stream),
                    Place::Entry(nth) => Reader::at_entry(&world.stream, nth),
                };
            }
            Step::Read { reader, limit } => readers[reader].read(&world.stream, limit),
            Step::Page { reader, limit } => {
                let before = readers[reader].clone();
                let told = readers[reader].page(&world.stream, limit);
                let case = judge(told, &before, &world.stream)?;
                *tally.borrow_mut().entry(case).or_default() += 1;
                if before.stands_in_whole(&world.stream) == Some(false) && told.counted {
                    prop_assert_eq!(told.verdict, Verdict::Reset);
                }
            }
        }
    }
    Ok(())
}

#[test]
fn readers_are_told_the_truth_whatever_happens() {
    let tally = RefCell::default();
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 1_000,
        source_file: Some(file!()),
        ..ProptestConfig::default()
    });
    runner
        .run(&vec(step(), 1..64), |steps| run(&steps, &tally))
        .unwrap();
    let tally = tally.into_inner();
    // Every case occurred, and often: the steps are not too tame.
    for case in [
        "own: continuous",
        "own: gap",
        "own: gap to be told later",
        "other: reset",
        "other: not counted yet",
        "other: not to be told apart",
    ] {
        assert!(
            tally.get(case).is_some_and(|count| *count >= 50),
            "{case}: {tally:?}"
        );
    }
}
