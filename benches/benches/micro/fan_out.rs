//! Events go from the log through one ring to many subscribers, each of which takes them when it is polled.

use std::sync::Arc;
use std::task::{Context, Waker};

use broker::{
    Delivery, Filter, From, Log, MemoryConfig, MemoryLog, NewEvent, Order, Subscriber, SubscriberConfig,
};
use criterion::{BenchmarkId, Criterion, Throughput};
use shared::StreamName;
use tokio::runtime::Runtime;

use crate::{event, stream};

const SUBSCRIBERS: usize = 1_000;
/// As much as one asks for at a time.
const BYTES_MAX: usize = 64 * 1024;

pub(crate) fn measure(criterion: &mut Criterion) {
    #[allow(clippy::expect_used)]
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let mut group = criterion.benchmark_group("fan-out");
    for events in [1, 16] {
        let mut room = Room::new(&runtime);
        group.throughput(Throughput::Elements((events * SUBSCRIBERS) as u64));
        let id = BenchmarkId::new(format!("{SUBSCRIBERS} subscribers, events at a time"), events);
        group.bench_function(id, |bencher| {
            bencher.iter(|| room.deliver(&runtime, events));
        });
    }
    group.finish();
}

struct Room {
    log: Arc<MemoryLog>,
    stream: StreamName,
    subscribers: Vec<Subscriber>,
    out: Vec<Delivery>,
}

impl Room {
    #[allow(clippy::expect_used)]
    fn new(runtime: &Runtime) -> Self {
        let (log, stream) = (MemoryLog::new(MemoryConfig::default()), stream());
        let subscribers = (0..SUBSCRIBERS).map(|_| {
            let config = SubscriberConfig {
                order: Order::PerStream,
                streams_max: 1,
                ephemeral: false,
            };
            let mut subscriber = Subscriber::new(log.clone(), config);
            let subscribed = subscriber.subscribe(stream.clone(), From::Now, None, Filter::default());
            runtime.block_on(subscribed).expect("memory is there");
            subscriber
        });
        let mut room = Self {
            subscribers: subscribers.collect(),
            log,
            stream,
            out: Vec::new(),
        };
        // That they have caught up, which is nothing yet.
        room.take();
        room
    }

    /// Appends events and has every subscriber take them.
    #[allow(clippy::expect_used)]
    fn deliver(&mut self, runtime: &Runtime, events: usize) {
        let batch = vec![NewEvent::new(event()); events];
        let answers = runtime.block_on(async {
            let receipt = self.log.submit(&self.stream, batch).await.expect("there is room");
            receipt.await
        });
        assert!(answers.iter().all(Result::is_ok));
        assert_eq!(self.take(), events * SUBSCRIBERS);
    }

    /// What all of them can take now, counted.
    fn take(&mut self) -> usize {
        let mut context = Context::from_waker(Waker::noop());
        let mut taken = 0;
        for subscriber in &mut self.subscribers {
            while subscriber
                .poll_next(&mut context, BYTES_MAX, &mut self.out)
                .is_ready()
            {
                taken += self
                    .out
                    .drain(..)
                    .filter(|delivery| matches!(delivery, Delivery::Event(_)))
                    .count();
            }
        }
        taken
    }
}
