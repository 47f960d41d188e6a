//! An entry becomes bytes: once for each wire format, and once more for each WebSocket.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput};
use edge::measured;
use shared::{Entry, wire};

use crate::{entry, stream};

/// Returns how many bytes there are.
type Encode = fn(&Entry) -> usize;

/// Frames that are queued together.
const FRAMES: usize = 16;

pub(crate) fn measure(criterion: &mut Criterion) {
    let formats: [(&str, Encode); 6] = [
        ("JSON object", |entry| wire::entry_json(entry).len()),
        ("NDJSON line", |entry| measured::ndjson_event(entry).len()),
        ("server-sent event", |entry| measured::sse_event(entry).len()),
        ("Socket.IO event", measured::socketio_event),
        ("WebSocket frame, JSON", |entry| {
            measured::ws_json_event(entry).len()
        }),
        ("WebSocket frame, MessagePack", |entry| {
            measured::ws_message_pack_event(entry).len()
        }),
    ];
    let stream = stream();
    let mut group = criterion.benchmark_group("encode");
    for (name, encode) in formats {
        assert!(encode(&entry(&stream)) > 200, "{name}");
        group.throughput(Throughput::Elements(1));
        group.bench_function(name, |bencher| {
            // An entry keeps its encodings: each is encoded once.
            bencher.iter_batched_ref(
                || entry(&stream),
                |entry| encode(black_box(entry)),
                BatchSize::SmallInput,
            );
        });
    }
    let text = measured::ws_json_event(&entry(&stream));
    assert!(measured::queue_frames(&text, FRAMES) > FRAMES * text.len());
    group.throughput(Throughput::Elements(FRAMES as u64));
    group.bench_function("frames into the queue of a WebSocket", |bencher| {
        bencher.iter(|| measured::queue_frames(black_box(&text), FRAMES));
    });
    group.finish();
}
