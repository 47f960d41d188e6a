//! An entry becomes bytes: once for each wire format, and once more for each WebSocket.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput};
use edge::measured;
use shared::{Entry, wire};

use crate::{entry, stream};

type Encode = fn(&Entry) -> Bytes;

/// Frames that are queued together.
const FRAMES: usize = 16;

pub(crate) fn measure(criterion: &mut Criterion) {
    let formats: [(&str, Encode); 6] = [
        ("JSON object", wire::entry_json),
        ("NDJSON line", measured::ndjson_event),
        ("server-sent event", measured::sse_event),
        ("Socket.IO event", measured::socketio_event),
        ("WebSocket frame, JSON", measured::ws_json_event),
        ("WebSocket frame, MessagePack", measured::ws_message_pack_event),
    ];
    let stream = stream();
    let mut group = criterion.benchmark_group("encode");
    for (name, encode) in formats {
        assert!(encode(&entry(&stream)).len() > 200, "{name}");
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
