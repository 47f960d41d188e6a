//! The body against a subscriber of a real log in memory: how far it pulls, and how it ends.

#![allow(clippy::unwrap_used)]

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use broker::{Filter, From, Log, MemoryConfig, MemoryLog, NewEvent, Order, Subscriber, SubscriberConfig};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use shared::limits::READ_BUFFER_BYTES_MAX;
use shared::{Event, StreamName, wire};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::body::{Pace, Tail};
use super::chunks::Chunks;
use super::encoder::Encoder;
use super::gauges::Gauges;
use super::ndjson::Ndjson;

const EVENT_BYTES: usize = 1_000;

struct Bench {
    log: Arc<MemoryLog>,
    stream: StreamName,
    drain: CancellationToken,
}

impl Bench {
    fn new() -> Self {
        Self {
            log: MemoryLog::new(MemoryConfig::default()),
            stream: "a".parse().unwrap(),
            drain: CancellationToken::new(),
        }
    }

    async fn publish(&self, count: usize) {
        let data = wire::payload_of_json(wire::json_string(&"x".repeat(EVENT_BYTES))).unwrap();
        let events = vec![NewEvent::new(Event::new(data)); count];
        let results = self.log.submit(&self.stream, events).await.unwrap().await;
        assert!(results.iter().all(Result::is_ok));
    }

    async fn tail(&self, from: From) -> Tail<Ndjson> {
        let config = SubscriberConfig {
            order: Order::ByTime,
            streams_max: 1,
            ephemeral: false,
        };
        let mut subscriber = Subscriber::new(self.log.clone(), config);
        let joined = subscriber
            .subscribe(self.stream.clone(), from, None, Filter::default())
            .await
            .unwrap();
        let encoder = Encoder::new(vec![(self.stream.clone(), joined.cursor)], Vec::new());
        let pace = Pace {
            batch_bytes: 64 * 1024,
            heartbeat: Duration::from_secs(15),
            farewell_retry_ms: 1_000,
        };
        let gauges = Gauges::new("test", 1);
        Tail::new(
            subscriber,
            encoder,
            Chunks::default(),
            pace,
            self.drain.clone(),
            gauges,
        )
    }
}

fn events(lines: &[u8]) -> usize {
    lines
        .split_inclusive(|b| *b == b'\n')
        .filter(|l| l.starts_with(b"{\"id\""))
        .count()
}

#[tokio::test]
async fn what_is_not_read_is_not_pulled() {
    let bench = Bench::new();
    bench.publish(5_000).await;
    let mut tail = bench.tail(From::Start).await;
    let mut got = 0;
    while got < 5_000 {
        let chunk = tail.next_chunk().await.unwrap();
        got += events(&chunk);
        let pulled = tail.pulled().1 as usize;
        let held = (pulled - got) * EVENT_BYTES;
        assert!(
            held <= 64 * 1024,
            "{held} bytes are held for a client that has read {got} events"
        );
        assert!(chunk.len() <= 64 * 1024, "a chunk of {} bytes", chunk.len());
    }
}

#[tokio::test]
async fn many_small_events_make_one_chunk() {
    let bench = Bench::new();
    let mut tail = bench.tail(From::Start).await;
    assert_eq!(events(&tail.next_chunk().await.unwrap()), 0, "caught up");
    bench.publish(20).await;
    assert_eq!(events(&tail.next_chunk().await.unwrap()), 20);
}

#[tokio::test]
async fn one_event_is_one_chunk_that_all_tails_share() {
    let bench = Bench::new();
    let (mut one, mut other) = (bench.tail(From::Now).await, bench.tail(From::Now).await);
    for tail in [&mut one, &mut other] {
        assert_eq!(events(&tail.next_chunk().await.unwrap()), 0, "caught up");
    }
    bench.publish(1).await;
    let (one, other) = (one.next_chunk().await.unwrap(), other.next_chunk().await.unwrap());
    assert_eq!(events(&one), 1);
    assert_eq!(one.as_ptr(), other.as_ptr());
}

#[tokio::test]
async fn an_end_comes_after_what_was_pulled() {
    let bench = Bench::new();
    bench.publish(200).await;
    let mut tail = bench.tail(From::Start).await;
    let mut got = tail.next_chunk().await.unwrap().to_vec();
    bench.drain.cancel();
    while let Some(chunk) = tail.next_chunk().await {
        got.extend_from_slice(&chunk);
    }
    let last = tail.pulled().0;
    let farewell = format!("{{\"control\":\"reconnect\",\"cursor\":\"{last}\"}}\n");
    assert!(got.ends_with(farewell.as_bytes()));
    assert_eq!(events(&got), tail.pulled().1 as usize);
    assert!(tail.next_chunk().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn heartbeats_come_after_silence_and_not_before() {
    let bench = Bench::new();
    let mut tail = bench.tail(From::Now).await;
    tail.next_chunk().await.unwrap();
    let begun = tokio::time::Instant::now();
    assert_eq!(tail.next_chunk().await.unwrap(), "\n");
    assert_eq!(begun.elapsed().as_secs(), 15);
    tokio::time::advance(Duration::from_secs(10)).await;
    bench.publish(1).await;
    assert_eq!(events(&tail.next_chunk().await.unwrap()), 1);
    assert_eq!(tail.next_chunk().await.unwrap(), "\n");
    assert_eq!(begun.elapsed().as_secs(), 15 + 10 + 15);
}

/// The same through HTTP: a connection that the client reads bit by bit.
#[tokio::test(start_paused = true)]
async fn what_the_client_does_not_read_stays_in_the_log() {
    let bench = Bench::new();
    bench.publish(3_000).await;
    let (mut client, server) = tokio::io::duplex(4_096);
    let taken = Arc::new(AtomicUsize::new(0));
    let body = Mutex::new(Some(counted(
        bench.tail(From::Start).await.into_body(),
        taken.clone(),
    )));
    let service = service_fn(move |_| {
        let body = body.lock().unwrap().take().unwrap();
        async { Ok::<_, Infallible>(hyper::Response::new(body)) }
    });
    let connection = http1::Builder::new()
        .max_buf_size(READ_BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(server), service);
    let connection = AbortOnDropHandle::new(tokio::spawn(connection));
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: weir\r\n\r\n")
        .await
        .unwrap();
    let (mut read, mut lines) = (0, 0);
    let mut buffer = vec![0; 1_500];
    while lines < 3_000 {
        // The clock stands still until nothing in this process can go on: all is taken that will be taken.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let held = taken.load(Ordering::Relaxed).saturating_sub(read);
        assert!(
            held < HELD_BYTES_MAX,
            "{held} bytes are held for a client that has read {read}"
        );
        let len = client.read(&mut buffer).await.unwrap();
        read += len;
        lines += buffer[..len].iter().filter(|b| **b == b'}').count();
    }
    drop(connection);
}

/// The connection's own buffer, and what makes it overflow: one chunk. The rest of a batch is not encoded yet.
const HELD_BYTES_MAX: usize = READ_BUFFER_BYTES_MAX + 64 * 1024;

fn counted(body: Body, taken: Arc<AtomicUsize>) -> impl hyper::body::Body<Data = Bytes, Error = axum::Error> {
    body.map_frame(move |frame| {
        taken.fetch_add(frame.data_ref().map_or(0, Bytes::len), Ordering::Relaxed);
        frame
    })
}
