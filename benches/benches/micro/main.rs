//! Micro-benchmarks of what is done for every event: `cargo bench -p benches`. A run of the tests runs each once.

mod cursor;
mod encode;
mod fan_out;
mod scan;

use benches::payload;
use bytes::Bytes;
use criterion::{criterion_group, criterion_main};
use shared::{Cursor, Entry, EntryId, Event, Payload, StreamName};

criterion_group!(
    benches,
    encode::measure,
    scan::measure,
    fan_out::measure,
    cursor::measure
);
criterion_main!(benches);

/// An entry as the scenarios publish them, not encoded yet.
fn entry(stream: &StreamName) -> Entry {
    let cursor = Cursor::new(EntryId::new(1_767_225_600_000, 41), 1_234_567);
    Entry::new(stream.clone(), cursor, event())
}

fn event() -> Event {
    Event::new(Payload::Json(Bytes::from(payload())))
}

fn stream() -> StreamName {
    #[allow(clippy::expect_used)]
    "bench:micro".parse().expect("a name")
}
