//! What clients send becomes messages, packets and events.

use std::hint::black_box;

use benches::payload;
use bytes::Bytes;
use criterion::{Criterion, Throughput};
use edge::measured;
use shared::wire;

/// Frames that come with one read.
const FRAMES: usize = 16;
/// What a client chooses; any four bytes cost the same.
const MASK: [u8; 4] = [0x5a, 0xc3, 0x17, 0x88];

pub(crate) fn measure(criterion: &mut Criterion) {
    let data = payload();
    let line = Bytes::from([b"{\"event\":\"request\",\"data\":", data.as_slice(), b"}"].concat());
    let packet = Bytes::from(
        [
            b"217[\"publish\",{\"stream\":\"doc:42\",\"data\":",
            data.as_slice(),
            b"}]",
        ]
        .concat(),
    );
    let frames = masked(&packet).repeat(FRAMES);
    assert_eq!(measured::read_line(&line), Some(data.len()));
    assert_eq!(measured::scan_packet(&packet), Some(packet.len() - 3));
    assert_eq!(measured::decode_frames(&frames), Some(FRAMES * packet.len()));

    let mut group = criterion.benchmark_group("scan");
    group.throughput(Throughput::Elements(1));
    let data = Bytes::from(data);
    group.bench_function("data of an event", |bencher| {
        bencher.iter(|| wire::payload_of_json(black_box(data.clone())));
    });
    group.bench_function("line of an NDJSON upload", |bencher| {
        bencher.iter(|| measured::read_line(black_box(&line)));
    });
    group.bench_function("Socket.IO packet", |bencher| {
        bencher.iter(|| measured::scan_packet(black_box(&packet)));
    });
    group.throughput(Throughput::Elements(FRAMES as u64));
    group.bench_function("masked WebSocket frames", |bencher| {
        bencher.iter(|| measured::decode_frames(black_box(&frames)));
    });
    group.finish();
}

/// A text as a client frames it (RFC 6455, section 5.2), between 126 and 65,535 bytes long.
fn masked(text: &[u8]) -> Vec<u8> {
    let [high, low] = (text.len() as u16).to_be_bytes();
    let masked = text
        .iter()
        .zip(MASK.iter().cycle())
        .map(|(byte, mask)| byte ^ mask);
    [0x81, 0x80 | 126, high, low]
        .into_iter()
        .chain(MASK)
        .chain(masked)
        .collect()
}
