//! What subscribers are told while the log is away, and when it is back.

use std::sync::Arc;
use std::time::Instant;

use broker::testing::{RedisCluster, RedisServer};
use broker::{Delivery, Filter, From, Log, Order, RedisLog, Subscriber, SubscriberConfig};
use shared::StreamName;
use shared::limits::OUTAGE_GRACE;

use crate::proxy::{Mode, Proxy};
use crate::support::*;

/// A delivery, as far as these tests look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    Number(u64),
    CaughtUp,
    Degraded(StreamName),
    Restored(StreamName),
}

use Told::{CaughtUp, Number};

/// A subscriber and everything that it was told.
struct Reader {
    subscriber: Subscriber,
    told: Vec<Told>,
}

impl Reader {
    fn new(log: &Arc<RedisLog>, order: Order) -> Self {
        let config = SubscriberConfig {
            order,
            streams_max: 64,
            ephemeral: false,
        };
        Self {
            subscriber: Subscriber::new(log.clone() as Arc<dyn Log>, config),
            told: Vec::new(),
        }
    }

    /// One that has caught up with these streams.
    async fn live(log: &Arc<RedisLog>, order: Order, streams: &[StreamName]) -> Self {
        let mut reader = Self::new(log, order);
        for stream in streams {
            reader.subscribe(stream, From::Start).await;
        }
        let count = streams.len();
        reader
            .until("it catches up", |told| of(told, &CaughtUp) == count)
            .await;
        reader.told.clear();
        reader
    }

    async fn subscribe(&mut self, stream: &StreamName, from: From) {
        let subscribed = self
            .subscriber
            .subscribe(stream.clone(), from, None, Filter::default());
        in_time("a subscription", subscribed).await.unwrap();
    }

    /// Takes what there is once.
    async fn take(&mut self, bytes_max: usize) {
        let mut out = Vec::new();
        in_time("deliveries", self.subscriber.next(bytes_max, &mut out)).await;
        self.told.extend(out.into_iter().map(|delivery| match delivery {
            Delivery::Event(entry) => {
                let number = std::str::from_utf8(entry.event.data.raw()).unwrap();
                Number(number.parse().unwrap())
            }
            Delivery::CaughtUp { .. } => CaughtUp,
            Delivery::Degraded { stream, since_ms } => {
                let now_ms = shared::time::now_ms();
                assert!(since_ms <= now_ms, "{since_ms} is not past {now_ms}");
                Told::Degraded(stream)
            }
            Delivery::Restored { stream, .. } => Told::Restored(stream),
            other => panic!("{other:?}"),
        }));
    }

    async fn until(&mut self, what: &str, enough: impl Fn(&[Told]) -> bool) {
        in_time(what, async {
            while !enough(&self.told) {
                self.take(64 * 1024).await;
            }
        })
        .await;
    }

    async fn degraded(&mut self, streams: &[StreamName]) {
        let all = |told: &[Told]| streams.iter().all(|s| told.contains(&Told::Degraded(s.clone())));
        self.until("it is told that the log is away", all).await;
    }

    async fn restored(&mut self, streams: &[StreamName]) {
        let all = |told: &[Told]| streams.iter().all(|s| told.contains(&Told::Restored(s.clone())));
        self.until("it is told that the log is back", all).await;
    }
}

fn of(told: &[Told], what: &Told) -> usize {
    told.iter().filter(|told| *told == what).count()
}

/// Each stream was away once and came back once, and the one was told before the other.
fn once_each(told: &[Told], streams: &[StreamName]) {
    for stream in streams {
        let (degraded, restored) = (Told::Degraded(stream.clone()), Told::Restored(stream.clone()));
        let about: Vec<_> = told
            .iter()
            .filter(|told| **told == degraded || **told == restored)
            .collect();
        assert_eq!(about, [&degraded, &restored], "{told:?}");
    }
}

fn events(told: &[Told]) -> Vec<u64> {
    let number = |told: &Told| match told {
        Number(n) => Some(*n),
        _ => None,
    };
    told.iter().filter_map(number).collect()
}

async fn away(log: &RedisLog, stream: &StreamName) {
    until("the outage is known", async || is_degraded(log, stream)).await;
}

async fn back(log: &RedisLog, stream: &StreamName) {
    until("the stream is read again", async || !is_degraded(log, stream)).await;
}

fn is_degraded(log: &RedisLog, stream: &StreamName) -> bool {
    log.hub().channel(stream).unwrap().is_degraded()
}

/// A log behind a proxy, with some numbers in a stream.
async fn behind_a_proxy(stream: &StreamName, count: u64) -> (RedisServer, Proxy, Arc<RedisLog>) {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(server.socket());
    let log = log(proxy.url()).await;
    for first in (0..count).step_by(500) {
        let events = (first..count.min(first + 500)).map(number).collect();
        for result in log.submit(stream, events).await.unwrap().await {
            result.unwrap();
        }
    }
    (server, proxy, log)
}

fn refuse(proxy: &Proxy) {
    proxy.set(Mode::Refuse);
    proxy.cut();
}

/// What is published at the server itself.
async fn add(server: &RedisServer, stream: &StreamName, n: u64) {
    run(server, &format!("XADD {} * d {n}", key(stream))).await;
}

#[tokio::test]
async fn a_restart_is_told_once_on_each_stream_and_nothing_is_lost() {
    let arguments = ["--appendonly", "yes", "--appendfsync", "always"];
    let server = RedisServer::start_with_args(&arguments).await;
    let log = log(server.url()).await;
    let streams = [name("a"), name("b")];
    for order in [Order::PerStream, Order::ByTime] {
        let mut reader = Reader::live(&log, order, &streams).await;
        server.kill();
        reader.degraded(&streams).await;
        server.restart().await;
        reader.restored(&streams).await;
        once_each(&reader.told, &streams);
        reader.told.clear();
        for n in 0..2 {
            for stream in &streams {
                until("an append", async || log.append(stream, keyed(n)).await.is_ok()).await;
            }
        }
        reader.until("the events", |told| events(told).len() == 4).await;
        assert_eq!(reader.told.len(), 4, "events are live again: {:?}", reader.told);
        server.lose_data().unwrap();
        server.restart().await;
        // The next round begins with streams that are read anew.
        drop(reader);
        until("it serves", async || log.check().await.is_ok()).await;
    }
}

#[tokio::test]
async fn restored_comes_behind_what_was_published_meanwhile() {
    let stream = name("a");
    for order in [Order::PerStream, Order::ByTime] {
        let (server, proxy, log) = behind_a_proxy(&stream, 3).await;
        let mut reader = Reader::live(&log, order, std::slice::from_ref(&stream)).await;
        refuse(&proxy);
        reader.degraded(std::slice::from_ref(&stream)).await;
        for n in 3..100 {
            add(&server, &stream, n).await;
        }
        proxy.set(Mode::Pass);
        reader.restored(std::slice::from_ref(&stream)).await;
        let mut expected = vec![Told::Degraded(stream.clone())];
        expected.extend((3..100).map(Number));
        expected.push(Told::Restored(stream.clone()));
        assert_eq!(reader.told, expected);
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_away_too() {
    let server = RedisServer::start().await;
    let log = log(server.url()).await;
    let stream = [name("a")];
    log.append(&stream[0], number(0)).await.unwrap();
    let mut reader = Reader::live(&log, Order::PerStream, &stream).await;
    server.pause();
    reader.degraded(&stream).await;
    server.resume();
    reader.restored(&stream).await;
    once_each(&reader.told, &stream);
    until("an append", async || {
        log.append(&stream[0], keyed(1)).await.is_ok()
    })
    .await;
    reader.until("the event", |told| events(told) == [1]).await;
}

#[tokio::test]
async fn what_is_over_at_once_is_not_told() {
    let stream = name("a");
    let (server, proxy, log) = behind_a_proxy(&stream, 1).await;
    let mut reader = Reader::live(&log, Order::PerStream, std::slice::from_ref(&stream)).await;
    let mut flaps = 0;
    let mut next = 1;
    // On a machine that is busy it may not be over at once, and then it is told.
    in_time("short cuts", async {
        while flaps < 3 {
            let begun = Instant::now();
            proxy.cut();
            add(&server, &stream, next).await;
            reader
                .until("the event", |told| told.contains(&Number(next)))
                .await;
            next += 1;
            let short = begun.elapsed() < OUTAGE_GRACE;
            if short {
                assert!(!is_degraded(&log, &stream));
                assert_eq!(reader.told, [Number(next - 1)], "a short cut is not worth a word");
                flaps += 1;
            } else {
                back(&log, &stream).await;
                // The end of an outage, if there was one, is taken before the next round.
                add(&server, &stream, next).await;
                reader
                    .until("the event", |told| told.contains(&Number(next)))
                    .await;
                next += 1;
            }
            reader.told.clear();
        }
    })
    .await;
}

#[tokio::test]
async fn who_begins_in_an_outage_is_told_first() {
    let stream = name("a");
    let (_server, proxy, log) = behind_a_proxy(&stream, 3).await;
    let only = std::slice::from_ref(&stream);
    // It is followed, and what was added since is in its ring.
    let mut first = Reader::live(&log, Order::PerStream, only).await;
    log.append(&stream, number(3)).await.unwrap();
    first.until("the event", |told| events(told) == [3]).await;
    let third = first.subscriber.positions().next().unwrap().1;
    refuse(&proxy);
    first.degraded(only).await;
    for order in [Order::PerStream, Order::ByTime] {
        let mut late = Reader::new(&log, order);
        late.subscribe(&stream, From::Cursor(third)).await;
        late.until("the first word", |told| told.contains(&CaughtUp))
            .await;
        assert_eq!(late.told, [Told::Degraded(stream.clone()), CaughtUp]);
    }
    // Where the stream ends, only the log knows.
    let mut now = Reader::new(&log, Order::PerStream);
    let refused = now
        .subscriber
        .subscribe(stream.clone(), From::Now, None, Filter::default());
    in_time("a refusal", refused).await.unwrap_err();
    proxy.set(Mode::Pass);
    first.restored(only).await;
    once_each(&first.told, only);
}

#[tokio::test]
async fn a_reader_of_history_is_told_and_misses_nothing() {
    const COUNT: u64 = 6_000;
    let stream = name("a");
    let (_server, proxy, log) = behind_a_proxy(&stream, COUNT).await;
    let only = std::slice::from_ref(&stream);
    let mut reader = Reader::new(&log, Order::PerStream);
    reader.subscribe(&stream, From::Start).await;
    reader.take(1).await;
    refuse(&proxy);
    away(&log, &stream).await;
    // It has pages left, and is told before it has taken them.
    let before = reader.told.len();
    reader.take(1).await;
    assert_eq!(
        reader.told[before],
        Told::Degraded(stream.clone()),
        "{:?}",
        reader.told
    );
    proxy.set(Mode::Pass);
    reader.restored(only).await;
    reader
        .until("the end", |told| {
            of(told, &CaughtUp) == 1 && events(told).len() as u64 == COUNT
        })
        .await;
    once_each(&reader.told, only);
    assert_eq!(events(&reader.told), (0..COUNT).collect::<Vec<_>>());
}

#[tokio::test]
async fn who_takes_nothing_meanwhile_is_not_told_of_what_is_over() {
    let stream = name("a");
    let (server, proxy, log) = behind_a_proxy(&stream, 1).await;
    let only = std::slice::from_ref(&stream);
    let mut reader = Reader::live(&log, Order::PerStream, only).await;
    let mut told_once = Reader::live(&log, Order::PerStream, only).await;
    refuse(&proxy);
    told_once.degraded(only).await;
    proxy.set(Mode::Pass);
    back(&log, &stream).await;
    refuse(&proxy);
    away(&log, &stream).await;
    // Two outages, of whose end the one between it has heard nothing.
    proxy.set(Mode::Pass);
    back(&log, &stream).await;
    add(&server, &stream, 1).await;
    reader.until("the event", |told| told.contains(&Number(1))).await;
    assert_eq!(reader.told, [Number(1)]);
    told_once.restored(only).await;
    once_each(&told_once.told, only);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_streams_of_a_master_that_is_away_are() {
    let cluster = RedisCluster::start(3, false).await;
    for node in cluster.nodes() {
        let mut command = redis::cmd("CONFIG");
        command.arg("SET").arg("cluster-require-full-coverage").arg("no");
        node.run::<redis::Value>(&mut command).await;
    }
    let log = log(cluster.url()).await;
    let streams: Vec<_> = (0..12).map(|n| name(&format!("doc:{n}"))).collect();
    for stream in &streams {
        log.append(stream, number(0)).await.unwrap();
    }
    let (_, owner) = cluster.first_owner(&key(&streams[0])).await;
    let (mut gone, mut stay) = (Vec::new(), Vec::new());
    for stream in &streams {
        match cluster.first_owner(&key(stream)).await.1 == owner {
            true => gone.push(stream.clone()),
            false => stay.push(stream.clone()),
        }
    }
    assert!(!stay.is_empty(), "they lie on several masters");
    let mut reader = Reader::live(&log, Order::PerStream, &streams).await;
    cluster.nodes()[owner].server.pause();
    reader.degraded(&gone).await;
    for stream in &stay {
        log.append(stream, number(1)).await.unwrap();
    }
    reader
        .until("the events of the others", |told| {
            events(told).len() == stay.len()
        })
        .await;
    // It can be used, and says what cannot.
    until("the others are ready", async || log.check().await.is_ok()).await;
    let parts = log.parts();
    assert_eq!(parts.len(), 3 * 4, "{parts:?}");
    let tails = parts.iter().filter(|part| part.name == "tail");
    let away: Vec<_> = tails.filter(|part| part.away.is_some()).collect();
    assert!(away.len() == 1 && away[0].node.is_some(), "{parts:?}");
    cluster.nodes()[owner].server.resume();
    reader.restored(&gone).await;
    once_each(&reader.told, &gone);
    for stream in &stay {
        assert!(
            !reader.told.contains(&Told::Degraded(stream.clone())),
            "{stream} was there all the time: {:?}",
            reader.told
        );
    }
}

/// How often a command of these names was run since the server began.
async fn calls(server: &RedisServer, commands: &[&str]) -> u64 {
    let stats: String = raw(server, redis::cmd("INFO").arg("commandstats")).await;
    let of = |command: &&str| {
        let line = stats
            .lines()
            .find(|line| line.starts_with(&format!("cmdstat_{command}:")));
        let calls = line.and_then(|line| line.split_once("calls=")?.1.split_once(','));
        calls.map_or(0, |(calls, _)| calls.parse::<u64>().unwrap())
    };
    commands.iter().map(of).sum()
}

/// What follows a stream live costs nothing on return, however many they are; who reads history shares what is read.
#[tokio::test]
async fn a_crowd_does_not_run_when_the_log_is_back() {
    const CROWD: usize = 300;
    let stream = name("a");
    let (server, proxy, log) = behind_a_proxy(&stream, 3_000).await;
    let only = std::slice::from_ref(&stream);
    let mut crowd = Vec::new();
    for n in 0..CROWD {
        let mut reader = match n % 3 {
            0 => Reader::live(&log, Order::PerStream, only).await,
            _ => {
                let mut reader = Reader::new(&log, Order::PerStream);
                reader.subscribe(&stream, From::Start).await;
                reader.take(1).await;
                reader
            }
        };
        reader.told.clear();
        crowd.push(reader);
    }
    refuse(&proxy);
    away(&log, &stream).await;
    let reads = ["xrange", "xrevrange", "xread", "xinfo|stream", "exec"];
    let before = calls(&server, &reads).await;
    let back = async {
        for n in 3_000..3_100 {
            add(&server, &stream, n).await;
        }
        proxy.set(Mode::Pass);
    };
    // All of them try at the same time, before it is back and after.
    let mut readers = tokio::task::JoinSet::new();
    for mut reader in crowd {
        let only = [stream.clone()];
        readers.spawn(async move {
            reader.degraded(&only).await;
            reader.restored(&only).await;
            reader
                .until("the end", |told| told.contains(&Number(3_099)))
                .await;
            once_each(&reader.told, &only);
            let last = events(&reader.told);
            assert!(last.windows(2).all(|pair| pair[0] + 1 == pair[1]), "in order");
        });
    }
    back.await;
    while let Some(done) = in_time("the crowd", readers.join_next()).await {
        done.unwrap();
    }
    let reads = calls(&server, &reads).await - before;
    println!("{reads} reads for {CROWD} readers");
    // Each by itself would take several commands for each page that two in three still have to read.
    assert!(reads < CROWD as u64, "{reads} reads for {CROWD} readers");
}
