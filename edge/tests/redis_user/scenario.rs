//! Everything that an edge does with Redis.

use std::sync::Arc;
use std::time::Duration;

use broker::{
    ClusterSecret, Direction, Durability, Filter, From, Log, NewEvent, Order, ReadRequest, RedisConfig,
    RedisLog, Retention, RetentionRules, Subscriber, SubscriberConfig,
};
use bytes::Bytes;
use shared::{EdgeId, Event, Payload, SessionId, StreamName};
use tokio::time::timeout;

/// How long anything may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
const TTL: Duration = Duration::from_secs(60);

pub(crate) fn config(url: String) -> RedisConfig {
    let mut config = RedisConfig::new(url);
    config.hub.linger = Duration::from_millis(10);
    config.retention = RetentionRules {
        rules: Vec::new(),
        default: Retention {
            entries_max: Some(1_000),
            age_max: Some(Duration::from_secs(3_600)),
            idle_max: Some(Duration::from_secs(3_600)),
        },
    };
    config
}

pub(crate) fn event(text: &str) -> Event {
    Event::new(Payload::Json(Bytes::from(format!("{text:?}"))))
}

pub(crate) fn keyed(text: &str) -> NewEvent {
    NewEvent {
        key: Some(text.parse().unwrap()),
        ..NewEvent::new(event(text))
    }
}

fn durable(new: NewEvent) -> NewEvent {
    NewEvent {
        durability: Some(Durability::Replicas(1)),
        ..new
    }
}

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future)
        .await
        .unwrap_or_else(|_| panic!("not in time: {what}"))
}

/// The next delivery that is no news of the end of the log.
async fn next(subscriber: &mut Subscriber) {
    let mut out = Vec::new();
    while out.is_empty() {
        soon("a delivery", subscriber.next(1_000_000, &mut out)).await;
        out.retain(|delivery| !matches!(delivery, broker::Delivery::CaughtUp { .. }));
    }
}

/// Everything that an edge does with Redis, for one stream.
pub(crate) async fn everything(log: &Arc<RedisLog>, stream: &StreamName) {
    let config = SubscriberConfig {
        order: Order::PerStream,
        streams_max: 1,
        ephemeral: true,
    };
    let mut subscriber = Subscriber::new(log.clone(), config);
    let subscribed = subscriber.subscribe(stream.clone(), From::Now, None, Filter::default());
    soon("the subscription", subscribed).await.unwrap();
    for n in 0..4 {
        for new in [
            NewEvent::new(event("plain")),
            keyed(&format!("key-{n}")),
            keyed("again"),
        ] {
            soon("an append", log.append(stream, new)).await.unwrap();
        }
    }
    let large = format!("{:?}", "x".repeat(100_000));
    let large = NewEvent::new(Event::new(Payload::Json(Bytes::from(large))));
    soon("a large one", log.append(stream, large)).await.unwrap();
    next(&mut subscriber).await;
    log.send_ephemeral(stream, event("now")).unwrap();
    for from in [From::Start, From::Last(2), From::Now] {
        log.read(stream, &ReadRequest::forward(from, 3)).await.unwrap();
    }
    let backward = ReadRequest {
        direction: Direction::Backward {
            before: None,
            since: None,
        },
        until: None,
        limit: 3,
    };
    log.read(stream, &backward).await.unwrap();
    // No replica has them, or one has: both is allowed here.
    for new in [durable(NewEvent::new(event("plain"))), durable(keyed("again"))] {
        match soon("a durable one", log.append(stream, new)).await {
            Ok(_) | Err(broker::AppendError::NotDurable { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
    records(log).await;
}

/// Sessions and edges.
async fn records(log: &Arc<RedisLog>) {
    let (sessions, edges) = (log.sessions(), log.edges());
    let id = SessionId::from_random(std::array::from_fn(|_| fastrand::u8(..)));
    let record = Bytes::from_static(b"record");
    sessions.create(&id, record.clone(), TTL).await.unwrap();
    let taken = sessions.take_over(&id, TTL).await.unwrap().unwrap();
    sessions.save(&id, taken.generation, record, TTL).await.unwrap();
    sessions.touch(&id, TTL).await.unwrap();
    sessions.end(&id, taken.generation).await.unwrap();
    let edge = EdgeId::from_random([7; 6]);
    edges.announce(edge, "127.0.0.1:1", TTL).await.unwrap();
    assert!(edges.find(edge).await.unwrap().is_some());
    edges.withdraw(edge).await.unwrap();
    edges
        .cluster_secret(ClusterSecret::from_random([7; 32]))
        .await
        .unwrap();
}

pub(crate) fn name(text: &str) -> StreamName {
    text.parse().unwrap()
}
