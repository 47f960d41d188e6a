//! Randomised histories against a naive model: publish, raw appends, trim, delete, re-create, roll back, in any order,
//! while readers page and a subscriber with a tiny ring follows.
//!
//! The model keeps every event that was ever added and whether it still exists, and judges by looking at all of
//! them. `WEIR_MODEL_CASES=5000 cargo test -p broker --test contract model` runs longer.

mod history;
mod live;
mod readers;
mod world;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use shared::StreamName;

use crate::{Fixture, Settings, name};
use world::World;

const READERS: usize = 3;
/// How long a failing history is made shorter.
const SHRINK_MS: u32 = 60_000;

#[derive(Debug, Clone)]
enum Op {
    Publish(u8),
    Raw,
    Trim(u8),
    Delete(u8),
    DeleteLast,
    DeleteStream,
    Snapshot,
    Restore,
    /// A reader reads one page.
    Page(u8, u8),
    /// A reader reads pages to the tail.
    Drain(u8, u8),
    /// A reader begins anew.
    Begin(u8, Begin),
    Backward(u8),
    /// The subscriber takes everything there is.
    Live,
}

#[derive(Debug, Clone)]
enum Begin {
    Start,
    Now,
    Last(u8),
    Since(u8),
    /// After some entry, by its bare ID.
    Bare(u8),
}

fn any_op() -> impl Strategy<Value = Op> {
    let begin = prop_oneof![
        Just(Begin::Start),
        Just(Begin::Now),
        any::<u8>().prop_map(Begin::Last),
        any::<u8>().prop_map(Begin::Since),
        any::<u8>().prop_map(Begin::Bare),
    ];
    prop_oneof![
        8 => (1u8..12).prop_map(Op::Publish),
        3 => Just(Op::Raw),
        2 => any::<u8>().prop_map(Op::Trim),
        4 => any::<u8>().prop_map(Op::Delete),
        2 => Just(Op::DeleteLast),
        1 => Just(Op::DeleteStream),
        2 => Just(Op::Snapshot),
        2 => Just(Op::Restore),
        8 => (any::<u8>(), 1u8..6).prop_map(|(reader, limit)| Op::Page(reader, limit)),
        5 => (any::<u8>(), 1u8..6).prop_map(|(reader, limit)| Op::Drain(reader, limit)),
        2 => (any::<u8>(), begin).prop_map(|(reader, begin)| Op::Begin(reader, begin)),
        2 => (1u8..20).prop_map(Op::Backward),
        4 => Just(Op::Live),
    ]
}

pub(crate) fn any_history_reads_as_the_model_says<F: Fixture>() {
    let cases = std::env::var("WEIR_MODEL_CASES")
        .ok()
        .and_then(|text| text.parse().ok());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fixture = runtime.block_on(F::start(Settings::tiny_ring(5)));
    let config = ProptestConfig {
        cases: cases.unwrap_or(F::MODEL_CASES),
        failure_persistence: None,
        max_shrink_time: SHRINK_MS,
        ..ProptestConfig::default()
    };
    let case = std::cell::Cell::new(0);
    let outcome = TestRunner::new(config).run(&prop::collection::vec(any_op(), 1..80), |ops| {
        case.set(case.get() + 1);
        let stream = name(&format!("model:{}", case.get()));
        runtime.block_on(run(&fixture, stream, ops));
        Ok(())
    });
    outcome.unwrap();
}

async fn run<F: Fixture>(fixture: &F, stream: StreamName, ops: Vec<Op>) {
    let mut world = World::new(fixture, stream).await;
    for op in ops {
        world.apply(op).await;
    }
    world.live().await;
    for reader in 0..READERS {
        world.drain(reader, 3).await;
    }
}
