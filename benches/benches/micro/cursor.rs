//! Positions: read, written, and judged.

use std::hint::black_box;

use criterion::Criterion;
use shared::verdict::{Assessment, Look, assess, compare};
use shared::{Cursor, EntryId, MultiCursor, StreamView, Verdict};

pub(crate) fn measure(criterion: &mut Criterion) {
    let (id, ordinal) = (EntryId::new(1_767_225_600_000, 41), 1_234_567);
    let cursor = Cursor::new(id, ordinal);
    let text = cursor.to_string();
    let merged = (0..16)
        .map(|n| format!("log:{n}~{text}"))
        .collect::<Vec<_>>()
        .join(",");
    assert_eq!(text.parse(), Ok(cursor));
    assert_eq!(merged.parse::<MultiCursor>().map(|cursor| cursor.len()), Ok(16));

    let mut group = criterion.benchmark_group("cursor");
    group.bench_function("read", |bencher| {
        bencher.iter(|| black_box(text.as_str()).parse::<Cursor>());
    });
    group.bench_function("write", |bencher| {
        bencher.iter(|| black_box(cursor).to_string());
    });
    group.bench_function("read one of 16 streams", |bencher| {
        bencher.iter(|| black_box(merged.as_str()).parse::<MultiCursor>());
    });
    group.finish();

    // A reader in the middle of a stream whose beginning is trimmed.
    let view = StreamView {
        added: ordinal + 1_000,
        length: 100_000,
        first: Some(EntryId::new(1_767_225_500_000, 0)),
        last_generated: EntryId::new(1_767_225_700_000, 0),
        max_deleted: EntryId::ZERO,
    };
    let look = Look {
        present: true,
        after: None,
    };
    assert_eq!(
        assess(cursor, &view, look),
        Assessment::Settled(Verdict::Continuous)
    );
    assert_eq!(compare(cursor, &view, true, 990), Verdict::Gap { lost: 10 });
    let mut group = criterion.benchmark_group("verdict");
    group.bench_function("without a count", |bencher| {
        bencher.iter(|| assess(black_box(cursor), black_box(&view), look));
    });
    group.bench_function("with a count", |bencher| {
        bencher.iter(|| compare(black_box(cursor), black_box(&view), true, black_box(990)));
    });
    group.finish();
}
