//! What an idle subscriber costs: sockets are many, and most of them wait. The only test of its process, because it
//! looks at the memory of the process.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use broker::{Delivery, Filter, From, Log, MemoryConfig, MemoryLog, Order, Subscriber, SubscriberConfig};
use futures_util::FutureExt;
use shared::StreamName;

const SUBSCRIBERS: usize = 20_000;
/// Bytes that one may take whose stream others follow too. It was 540 when this was written.
const SHARED_BYTES_MAX: usize = 768;
/// Bytes that one may take together with a stream that nobody else follows. It was 1,430 when this was written.
const OWN_BYTES_MAX: usize = 2_048;

/// Bytes of this process that are in memory.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<usize>().unwrap() * 1_024
}

/// A subscriber that has been told everything and waits.
async fn idle(log: &Arc<dyn Log>, stream: StreamName) -> Subscriber {
    let config = SubscriberConfig {
        order: Order::ByTime,
        streams_max: 64,
        ephemeral: true,
    };
    let mut subscriber = Subscriber::new(log.clone(), config);
    subscriber
        .subscribe(stream, From::Now, None, Filter::default())
        .await
        .unwrap();
    let mut out = Vec::new();
    while subscriber.next(64 * 1024, &mut out).now_or_never().is_some() {}
    assert!(matches!(out[..], [Delivery::CaughtUp { .. }]));
    subscriber
}

#[tokio::test]
async fn an_idle_subscriber_is_small() {
    let log: Arc<dyn Log> = MemoryLog::new(MemoryConfig::default());
    let mut subscribers = Vec::with_capacity(2 * SUBSCRIBERS + 2_000);
    let mut measure = async |what: &str, name: fn(usize) -> String, bytes_max: usize| {
        // What there is once does not count.
        for n in 0..1_000 {
            subscribers.push(idle(&log, name(n).parse().unwrap()).await);
        }
        let before = resident_bytes();
        for n in 1_000..1_000 + SUBSCRIBERS {
            subscribers.push(idle(&log, name(n).parse().unwrap()).await);
        }
        let each = (resident_bytes() - before) / SUBSCRIBERS;
        println!(
            "{what}: {each} bytes a subscriber, of them {} in place",
            size_of::<Subscriber>()
        );
        assert!(each <= bytes_max, "{what}: {each} bytes a subscriber");
    };
    measure("one stream for all", |_| "doc:1".to_owned(), SHARED_BYTES_MAX).await;
    measure("a stream for each", |n| format!("user:{n}"), OWN_BYTES_MAX).await;
}
