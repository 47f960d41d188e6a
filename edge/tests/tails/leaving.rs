//! The edge stops, the log goes away, the client is one too many: who is told what, and that it goes on elsewhere.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use broker::testing::RedisServer;
use broker::{
    AppendError, Channel, Edges, EphemeralError, Feed, Hub, HubConfig, Log, MemoryEdges, MemorySessions,
    NewEvent, Page, ReadError, ReadRequest, Receipt, Sessions, Unavailable,
};
use serde_json::Value;
use shared::{Cursor, Event, StreamName};

use crate::client::{get, ndjson, sse};
use crate::engines::{Engine, config, on_both_engines};
use crate::sse_parser::Parser;
use crate::support::TestEdge;
use crate::told::{data, objects, read_until, read_until_event};

on_both_engines! {
    an_edge_that_stops_ends_server_sent_events_cleanly;
    an_edge_that_stops_ends_lines_with_a_cursor;
    a_filtered_tail_is_told_how_far_it_has_come_when_the_edge_stops;
    too_many_streams_are_refused;
}

async fn an_edge_that_stops_ends_server_sent_events_cleanly(engine: Engine) {
    let edge = engine.edge().await;
    engine.publish_numbers("a", 0, 3).await;
    let mut answer = sse(edge.address, "/v1/streams/a?from=start", "").await;
    let mut parser = Parser::default();
    read_until_event(&mut answer, &mut parser, "caught_up").await;
    edge.shutdown.cancel();
    parser.push(&answer.read_to_end().await);
    let retry_ms = parser.retry_ms.unwrap();
    assert!(
        (50..=100).contains(&retry_ms),
        "asked to come back within {retry_ms} ms"
    );
    let other = engine.edge().await;
    engine.publish_numbers("a", 3, 5).await;
    let mut answer = sse(other.address, "/v1/streams/a?from=start", &parser.last_event_id).await;
    read_until(&mut answer, &mut parser, |p| data(&p.events).len() == 5).await;
    assert_eq!(data(&parser.events), [0, 1, 2, 3, 4]);
}

async fn an_edge_that_stops_ends_lines_with_a_cursor(engine: Engine) {
    let edge = engine.edge().await;
    engine.publish_numbers("a", 0, 2).await;
    let path = "/v1/tail?stream=a&stream=b&from=";
    let mut answer = ndjson(edge.address, &format!("{path}start")).await;
    let mut bytes = answer.read_until(|b| objects(b).len() == 3).await;
    edge.shutdown.cancel();
    bytes.extend(answer.read_to_end().await);
    let told = objects(&bytes);
    let last = told.last().unwrap();
    assert_eq!(last["control"], "reconnect");
    let other = engine.edge().await;
    engine.publish_numbers("b", 2, 3).await;
    let cursor = last["cursor"].as_str().unwrap();
    let bytes = ndjson(other.address, &format!("{path}{cursor}")).await;
    let bytes = { bytes }.read_until(|b| objects(b).len() == 2).await;
    let resumed: Vec<Value> = objects(&bytes)
        .into_iter()
        .filter(|o| o.get("data").is_some())
        .collect();
    assert_eq!(
        [&told[0]["data"], &told[1]["data"], &resumed[0]["data"]],
        [0, 1, 2]
    );
    assert_eq!(resumed.len(), 1);
}

async fn a_filtered_tail_is_told_how_far_it_has_come_when_the_edge_stops(mut engine: Engine) {
    // No heartbeat will tell it.
    engine.config.tail.heartbeat = std::time::Duration::from_secs(3_600);
    let edge = engine.edge().await;
    let cursors = engine.publish_numbers("a", 0, 10).await;
    let mut answer = ndjson(edge.address, "/v1/streams/a?from=start&match=^8$").await;
    let mut bytes = answer.read_until(|b| objects(b).len() == 2).await;
    edge.shutdown.cancel();
    bytes.extend(answer.read_to_end().await);
    assert_eq!(objects(&bytes).last().unwrap()["cursor"], cursors[9].to_string());
}

async fn too_many_streams_are_refused(engine: Engine) {
    let edge = engine.edge().await;
    let path = (0..65)
        .map(|n| format!("stream=s{n}"))
        .collect::<Vec<_>>()
        .join("&");
    let mut refused = ndjson(edge.address, &format!("/v1/tail?{path}")).await;
    assert_eq!(refused.status, 400);
    let body: Value = serde_json::from_slice(&refused.read_to_end().await).unwrap();
    assert_eq!(body["error"]["code"], "too_many_subscriptions");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_lives_through_an_outage_of_the_log() {
    let server = RedisServer::start_with_args(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let engine = Engine::on_server(server, config()).await;
    let edge = engine.edge().await;
    engine.publish_numbers("a", 0, 2).await;
    let mut answer = sse(edge.address, "/v1/streams/a?from=start", "").await;
    let mut parser = Parser::default();
    read_until_event(&mut answer, &mut parser, "caught_up").await;
    let server = engine.redis.as_ref().unwrap();
    server.kill();
    let before = parser.comments;
    read_until(&mut answer, &mut parser, |p| p.comments >= before + 3).await;
    let told = |p: &Parser, kind: &str| p.events.iter().any(|event| event.event == kind);
    read_until(&mut answer, &mut parser, |p| told(p, "degraded")).await;
    server.restart().await;
    let mut connection = server.connection().await;
    for number in 2..4 {
        let mut xadd = redis::cmd("XADD");
        xadd.arg("weir:{a}").arg("*").arg("d").arg(number);
        xadd.query_async::<()>(&mut connection).await.unwrap();
    }
    read_until(&mut answer, &mut parser, |p| data(&p.events).len() == 4).await;
    read_until(&mut answer, &mut parser, |p| told(p, "restored")).await;
    assert_eq!(data(&parser.events), [0, 1, 2, 3]);
    let told: Vec<&str> = parser.events.iter().map(|event| event.event.as_str()).collect();
    let told: Vec<&str> = told.into_iter().filter(|told| *told != "message").collect();
    assert_eq!(told, ["caught_up", "degraded", "restored"], "and no verdict");
}

/// A log that is away: streams can be opened, nothing can be read.
struct Away {
    hub: Arc<Hub>,
    sessions: Arc<dyn Sessions>,
    edges: Arc<dyn Edges>,
}

impl Away {
    fn new() -> Arc<Self> {
        Arc::new_cyclic(|this: &Weak<Self>| Self {
            hub: Hub::new(HubConfig::default(), this.clone()),
            sessions: Arc::new(MemorySessions::default()),
            edges: Arc::new(MemoryEdges::default()),
        })
    }
}

impl Feed for Away {
    fn watch(&self, channel: &Arc<Channel>) {
        channel.open(Cursor::START);
    }
    fn unwatch(&self, _: &Arc<Channel>) {}
}

#[async_trait]
impl Log for Away {
    async fn submit(&self, _: &StreamName, _: Vec<NewEvent>) -> Result<Receipt, AppendError> {
        Err(Unavailable("away".into()).into())
    }
    async fn read(&self, _: &StreamName, _: &ReadRequest) -> Result<Page, ReadError> {
        Err(Unavailable("away".into()).into())
    }
    async fn check(&self) -> Result<(), Unavailable> {
        Err(Unavailable("away".into()))
    }
    fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }
    fn send_ephemeral(&self, _: &StreamName, _: Event) -> Result<(), EphemeralError> {
        Err(Unavailable("away".into()).into())
    }
    fn sessions(&self) -> &Arc<dyn Sessions> {
        &self.sessions
    }
    fn edges(&self) -> &Arc<dyn Edges> {
        &self.edges
    }
}

#[tokio::test]
async fn who_begins_while_the_log_is_away_is_refused() {
    let edge = TestEdge::start_on(Away::new(), config()).await;
    for accept in ["text/event-stream", "application/x-ndjson"] {
        let mut refused = get(edge.address, "/v1/streams/a", &[("accept", accept)]).await;
        assert_eq!(refused.status, 503);
        assert_eq!(refused.header("retry-after"), Some("1"));
        let body: Value = serde_json::from_slice(&refused.read_to_end().await).unwrap();
        assert_eq!(body["error"]["code"], "unavailable");
    }
}

/// An `EventSource` gives up for ever on any status but 200: one that comes back must not meet an error.
#[tokio::test]
async fn an_event_source_that_comes_back_while_the_log_is_away_is_asked_to_wait() {
    let edge = TestEdge::start_on(Away::new(), config()).await;
    let mut answer = sse(edge.address, "/v1/streams/a", "1-0.1").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let mut parser = Parser::resuming("1-0.1");
    parser.push(&answer.read_to_end().await);
    assert!(parser.retry_ms.is_some());
    assert!(parser.events.is_empty());
    assert_eq!(parser.last_event_id, "1-0.1", "it keeps the ID it has");
}
