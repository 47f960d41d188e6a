//! The session against scripts; [`model`] has the rest.

#![allow(clippy::unwrap_used)]

mod model;
mod recovering;

use broker::testing::generation;
use broker::{Appended, EphemeralError, From, Joined, Page, ReadError, Saved, SessionError, Unavailable};
use serde_json::{Value, json};
use shared::trace::TraceParent;
use shared::wire::PlainEvent;
use shared::{Cursor, EntryId, StreamName, Verdict};

use super::*;
use crate::error::{ApiError, Code};
use crate::gateway::rules::Namespaces;
use crate::socketio::Incoming;

const LIMITS: SessionLimits = SessionLimits {
    name_bytes_max: 30,
    event_bytes_max: 1_000,
    subscriptions_max: 4,
    publishes_max: 3,
    publish_bytes_max: 200,
    pages_max: 2,
    drain_max: Duration::from_secs(5),
    session_ttl: Duration::from_secs(120),
};

const ROUTES: &str = r#"
namespaces = [{name = "/"}, {name = "/plain", recovery = false}, {name = "/home-*"}, {name = "/other"}]
[[routes]]
event = "join"
action = "subscribe"
stream = "doc:{0}"
last = 10
announce = {event = "joined", ephemeral = true}
echo = false
[[routes]]
event = "leave"
action = "unsubscribe"
stream = "doc:{0}"
[[routes]]
event = "edit"
action = "publish"
stream = "doc:{0}"
as = "edited"
key = "{1.id}"
echo = false
[[routes]]
event = "typing"
action = "publish"
stream = "doc:{0}"
ephemeral = true
[[routes]]
event = "publish"
action = "publish"
stream = "own:{0.room}"
[[routes]]
event = "both"
action = "subscribe"
streams = ["a:{0}", "b:{0}"]
[[routes]]
namespace = "/home-*"
event = "connect"
action = "subscribe"
streams = ["user:{auth.user}", "{namespace}"]
announce = {event = "came"}
"#;

/// A session, the clock, and what it has ordered.
struct Bench {
    session: Session,
    start: Instant,
    orders: Vec<Order>,
}

fn now(start: Instant, seconds: u64) -> Now {
    Now {
        instant: start + Duration::from_secs(seconds),
        ms: 60_000 + seconds * 1_000,
    }
}

fn ids(name: &str) -> Ids {
    Ids {
        sid: format!("{name:S<20}").into(),
        pid: format!("{name:P<24}").parse().unwrap(),
    }
}

impl Bench {
    /// A client asks for a namespace.
    fn enter(namespace: &str, auth: &Value) -> Self {
        Self::enter_as(namespace, auth, ids("new"))
    }

    fn enter_as(namespace: &str, auth: &Value, ids: Ids) -> Self {
        let settings = toml::from_str(ROUTES).unwrap();
        let namespaces = Namespaces::compile(&settings).unwrap();
        let auth = auth.to_string();
        let newcomer = Newcomer {
            rules: Arc::clone(namespaces.find(namespace).unwrap()),
            limits: Arc::new(LIMITS),
            trace: Arc::new(RequestTrace {
                received: Some(TraceParent::new(7, 6)),
                own: TraceParent::new(7, 7),
            }),
            namespace: Namespace::new(namespace).unwrap(),
            auth: Some(auth.as_bytes()),
        };
        let (start, mut orders) = (Instant::now(), Vec::new());
        let random = fastrand::Rng::with_seed(1);
        let session = Session::enter(newcomer, ids, random, now(start, 0), &mut orders);
        Self {
            session,
            start,
            orders,
        }
    }

    /// A client is in a namespace with recovery.
    fn open() -> Self {
        let mut bench = Self::enter("/", &json!({}));
        bench.created(Ok(generation(1)));
        assert!(matches!(
            bench.taken().last(),
            Some(Order::Accept(Arrival::Fresh))
        ));
        bench
    }

    /// A client is in a namespace without recovery.
    fn plain() -> Self {
        let mut bench = Self::enter("/plain", &json!({}));
        assert!(matches!(bench.taken()[..], [Order::Accept(Arrival::Fresh)]));
        bench
    }

    /// Takes what was ordered.
    fn taken(&mut self) -> Vec<Order> {
        std::mem::take(&mut self.orders)
    }

    fn at(&self, seconds: u64) -> Now {
        now(self.start, seconds)
    }

    fn created(&mut self, outcome: Result<Generation, SessionError>) {
        let now = self.at(0);
        self.session.created(outcome, now, &mut self.orders);
    }

    fn saved(&mut self, outcome: Result<Saved, SessionError>) {
        let now = self.at(0);
        self.session.saved(outcome, now, &mut self.orders);
    }

    fn joined(&mut self, outcome: Result<Joined, ReadError>) {
        let now = self.at(0);
        self.session.joined(outcome, now, &mut self.orders);
    }

    /// The client sends an event and waits for its acknowledgement, number 1.
    fn emit(&mut self, array: &Value) {
        let name = array[0].as_str().unwrap().to_owned();
        let array = array.to_string();
        let event = Incoming {
            plain: PlainEvent::of(&array),
            array: array.into(),
            name,
            attachments: Vec::new(),
            ack: Some(1),
        };
        let now = self.at(0);
        self.session.event(&event, now, &mut self.orders);
    }

    /// Follows a stream from its position 5 on.
    fn follow(&mut self, stream: &str) {
        self.emit(&json!(["subscribe", {"stream": stream}]));
        self.joined(continuous());
        if self.session.recovery.is_some() {
            self.saved(Ok(Saved::Saved));
        }
        let orders = self.taken();
        assert_eq!(ack(orders.last().unwrap())["ok"], true);
    }

    /// What the client gets of deliveries: the arrays.
    fn deliver(&mut self, deliveries: &[Delivery]) -> Vec<Value> {
        let mut arrays = Vec::new();
        self.session.deliver(deliveries, &mut Vec::new(), |pieces, _| {
            let array: Vec<u8> = pieces.iter().flat_map(|piece| piece.bytes()).copied().collect();
            arrays.push(serde_json::from_slice(&array).unwrap());
        });
        arrays
    }
}

fn away() -> Unavailable {
    Unavailable("test".into())
}

fn continuous() -> Result<Joined, ReadError> {
    joined_at(5, Verdict::Continuous)
}

fn joined_at(n: u64, verdict: Verdict) -> Result<Joined, ReadError> {
    Ok(Joined {
        cursor: cursor(n),
        head: cursor(9),
        verdict,
    })
}

fn cursor(n: u64) -> Cursor {
    Cursor::new(EntryId::new(n, 0), n)
}

fn name(text: &str) -> StreamName {
    text.parse().unwrap()
}

fn entry(stream: &str, n: u64, session: Option<&str>) -> Delivery {
    let mut event = Event::new(shared::Payload::Json(Bytes::from(n.to_string())));
    event.session = session.map(shared::Text::from);
    Delivery::Event(Arc::new(Entry::new(name(stream), cursor(n), event)))
}

/// The one argument of an acknowledgement.
#[track_caller]
fn ack(order: &Order) -> Value {
    let Order::Ack(1, array) = order else {
        panic!("{order:?}");
    };
    let array: Value = serde_json::from_slice(array).unwrap();
    array[0].clone()
}

#[track_caller]
fn code(order: &Order) -> String {
    ack(order)["error"]["code"].as_str().unwrap().to_owned()
}

#[track_caller]
fn join(order: &Order) -> (&str, From) {
    let Order::Join(wanted) = order else {
        panic!("{order:?}");
    };
    (wanted.stream.as_str(), wanted.from)
}

#[test]
fn a_route_makes_the_stream_and_keeps_what_is_left_of_the_arguments() {
    let mut bench = Bench::open();
    bench.emit(&json!(["edit", 42, {"id": "op-1", "x": 1}]));
    let orders = bench.taken();
    let [Order::Submit(publishing, new)] = &orders[..] else {
        panic!("{orders:?}");
    };
    assert_eq!(publishing.stream.as_str(), "doc:42");
    assert_eq!(&new.event.data.raw()[..], br#"{"id":"op-1","x":1}"#);
    assert_eq!((new.event.name(), new.event.spread), ("edited", false));
    assert_eq!(new.key.as_ref().unwrap().as_str(), "op-1");
    // Without an echo it says where it comes from.
    assert_eq!(new.event.session.as_ref().unwrap().as_str(), bench.session.sid());
    // A child of the connection's trace.
    let trace: TraceParent = new.event.trace.as_ref().unwrap().as_str().parse().unwrap();
    assert_eq!((trace.trace_id, trace), (7, publishing.trace));
    let appended = Ok(Appended {
        cursor: cursor(3),
        duplicate: false,
    });
    bench.session.appended(publishing, &appended, &mut bench.orders);
    assert_eq!(ack(&bench.taken()[0]), json!({"id": "3-0", "cursor": "3-0.3"}));

    bench.emit(&json!(["edit", "42", {"id": "op-2"}, 2, [3]]));
    let orders = bench.taken();
    let [Order::Submit(_, new)] = &orders[..] else {
        panic!("{orders:?}");
    };
    assert_eq!(&new.event.data.raw()[..], br#"[{"id":"op-2"},2,[3]]"#);
    assert!(new.event.spread);
}

#[test]
fn what_a_route_cannot_use_is_an_error_and_never_another_stream() {
    let mut bench = Bench::open();
    for (array, code_of_error) in [
        (json!(["edit"]), "invalid_event"),
        (json!(["edit", "", {"id": "a"}]), "invalid_event"),
        (json!(["edit", null, {"id": "a"}]), "invalid_event"),
        (json!(["edit", {"id": 1}, {"id": "a"}]), "invalid_event"),
        (json!(["edit", 1.5, {"id": "a"}]), "invalid_event"),
        (json!(["edit", "a b", {"id": "a"}]), "invalid_stream"),
        (json!(["edit", "x".repeat(27), {"id": "a"}]), "invalid_stream"),
        (json!(["edit", "1", {"id": "ä"}]), "invalid_key"),
        (json!(["edit", "1", {}]), "invalid_event"),
        (json!(["join"]), "invalid_event"),
        (json!(["leave", "1"]), "not_subscribed"),
        (json!(["publish", {"stream": "a", "data": 1}]), "invalid_event"),
        (json!(["shout", 1]), "unknown_event"),
        (
            json!(["subscribe", {"stream": "a", "form": "start"}]),
            "invalid_event",
        ),
    ] {
        bench.emit(&array);
        let orders = bench.taken();
        assert_eq!(orders.len(), 1, "{array}: {orders:?}");
        assert_eq!(code(&orders[0]), code_of_error, "{array}");
        assert!(bench.session.wants_event());
    }
}

#[test]
fn a_route_goes_before_the_built_in_event_of_its_name() {
    let mut bench = Bench::open();
    bench.emit(&json!(["publish", {"room": "x"}]));
    let orders = bench.taken();
    let [Order::Submit(publishing, new)] = &orders[..] else {
        panic!("{orders:?}");
    };
    assert_eq!(publishing.stream.as_str(), "own:x");
    // A field that is used stays where it is.
    assert_eq!(&new.event.data.raw()[..], br#"{"room":"x"}"#);
    assert_eq!(new.event.session, None);
}

#[test]
fn ephemeral_events_go_around_the_log() {
    let mut bench = Bench::open();
    bench.emit(&json!(["typing", "1", {"at": 3}]));
    let orders = bench.taken();
    let [Order::Send(stream, event, Some(1))] = &orders[..] else {
        panic!("{orders:?}");
    };
    assert_eq!((stream.as_str(), event.name()), ("doc:1", "typing"));
    bench.session.sent(Some(1), Ok(()), &mut bench.orders);
    assert_eq!(ack(&bench.taken()[0]), json!({"ok": true}));
    bench.session.sent(
        Some(1),
        Err(EphemeralError::Unavailable(away())),
        &mut bench.orders,
    );
    assert_eq!(code(&bench.taken()[0]), "unavailable");
}

#[test]
fn a_subscription_is_stored_before_it_is_acknowledged_and_announced_after() {
    let mut bench = Bench::open();
    bench.emit(&json!(["join", "1", {"name": "Ann"}]));
    let orders = bench.taken();
    assert_eq!(join(&orders[0]), ("doc:1", From::Last(10)));
    assert!(!bench.session.wants_event() && !bench.session.wants_deliveries());
    bench.joined(continuous());
    let orders = bench.taken();
    let [Order::Save(pid, under, record)] = &orders[..] else {
        panic!("{orders:?}");
    };
    assert_eq!(Some(pid), bench.session.pid());
    assert_eq!(*under, generation(1));
    let record = crate::gateway::record::Record::decode(record).unwrap();
    assert_eq!(record.subscriptions[0].stream.as_str(), "doc:1");
    assert_eq!(record.subscriptions[0].start, cursor(5));
    assert!(!bench.session.wants_deliveries());

    bench.saved(Ok(Saved::Saved));
    let orders = bench.taken();
    assert_eq!(
        ack(&orders[0]),
        json!({"ok": true, "cursor": "5-0.5", "verdict": {"kind": "continuous"}})
    );
    let Order::Send(stream, event, None) = &orders[1] else {
        panic!("{orders:?}");
    };
    assert_eq!((stream.as_str(), event.name()), ("doc:1", "joined"));
    assert_eq!(&event.data.raw()[..], br#"{"name":"Ann"}"#);
    assert_eq!(event.session.as_ref().unwrap().as_str(), bench.session.sid());
    assert_eq!(orders.len(), 2);
    assert!(bench.session.wants_event() && bench.session.wants_deliveries());
}

#[test]
fn a_gap_is_told_again_to_a_client_that_is_cut_off_before_it_hears_of_it() {
    let mut bench = Bench::open();
    bench.emit(&json!(["subscribe", {"stream": "a", "from": "2-0.2"}]));
    bench.taken();
    bench.joined(joined_at(5, Verdict::Gap { lost: 3 }));
    let orders = bench.taken();
    let Order::Save(_, _, record) = &orders[0] else {
        panic!("{orders:?}");
    };
    let record = crate::gateway::record::Record::decode(record).unwrap();
    assert_eq!(record.subscriptions[0].start, cursor(2));
    bench.saved(Ok(Saved::Saved));
    assert_eq!(
        ack(&bench.taken()[0])["verdict"],
        json!({"kind": "gap", "lost": 3})
    );
    let gap = Delivery::Gap {
        stream: name("a"),
        lost: 3,
        cursor: cursor(5),
    };
    assert_eq!(
        bench.deliver(&[gap]),
        [json!(["stream:gap", {"stream": "a", "lost": 3, "cursor": "5-0.5"}, "newSSSSS:0~5-0.5"])]
    );
}

#[test]
fn several_streams_are_followed_one_after_the_other_and_answered_together() {
    let mut bench = Bench::open();
    bench.emit(&json!(["both", 7]));
    assert_eq!(join(&bench.taken()[0]).0, "a:7");
    bench.joined(continuous());
    assert_eq!(join(&bench.taken()[0]).0, "b:7");
    bench.joined(Err(ReadError::WrongType));
    assert!(matches!(bench.taken()[..], [Order::Save(..)]));
    bench.saved(Ok(Saved::Saved));
    let answer = ack(&bench.taken()[0]);
    assert_eq!(
        (&answer["ok"], &answer["cursor"]),
        (&json!(false), &json!("a:7~5-0.5"))
    );
    assert_eq!(answer["error"]["code"], "wrong_type");
    assert_eq!(answer["streams"]["a:7"]["ok"], true);
    assert_eq!(answer["streams"]["b:7"]["error"]["code"], "wrong_type");
    assert_eq!(bench.session.subscriptions(), 1);

    // When the log is away the others are not even tried.
    bench.emit(&json!(["subscribe", {"streams": ["x", "y"]}]));
    bench.taken();
    bench.joined(Err(ReadError::Unavailable(away())));
    let orders = bench.taken();
    assert_eq!(orders.len(), 1);
    assert_eq!(ack(&orders[0])["streams"]["y"]["error"]["code"], "unavailable");
}

/// As front ends do whenever they connect, and client libraries that send again what was not acknowledged.
#[test]
fn what_is_followed_already_goes_on_as_it_is() {
    let mut bench = Bench::open();
    bench.emit(&json!(["join", "1", {"name": "Ann"}]));
    bench.joined(continuous());
    bench.saved(Ok(Saved::Saved));
    bench.deliver(&[entry("doc:1", 6, None)]);
    bench.taken();
    // Not joined and not stored again, so nothing that is under way is left out; but who comes in says so.
    bench.emit(&json!(["join", "1", {"name": "Ann"}]));
    let orders = bench.taken();
    let answer = json!({"ok": true, "cursor": "6-0.6", "verdict": {"kind": "continuous"}, "already": true});
    assert_eq!(ack(&orders[0]), answer);
    assert!(matches!(orders[1..], [Order::Send(..)]));
    assert!(bench.session.wants_event() && bench.session.wants_deliveries());
    bench.emit(&json!(["subscribe", {"stream": "doc:1", "from": "start"}]));
    assert_eq!(ack(&bench.taken()[0]), answer);
    // Together with another one, which begins.
    bench.emit(&json!(["subscribe", {"streams": ["doc:1", "b"]}]));
    assert_eq!(join(&bench.taken()[0]).0, "b");
    bench.joined(continuous());
    assert!(matches!(bench.taken()[..], [Order::Save(..)]));
    bench.saved(Ok(Saved::Saved));
    let answered = ack(&bench.taken()[0]);
    assert_eq!(answered["streams"]["doc:1"], answer);
    assert_eq!(answered["streams"]["b"].get("already"), None);
    // Otherwise filtered it is another subscription.
    bench.emit(&json!(["subscribe", {"stream": "doc:1", "event": "edit"}]));
    assert_eq!(join(&bench.taken()[0]).0, "doc:1");
    bench.joined(continuous());
    bench.saved(Ok(Saved::Saved));
    assert_eq!(ack(bench.taken().last().unwrap()).get("already"), None);
    bench.emit(&json!(["subscribe", {"stream": "doc:1", "event": "edit"}]));
    assert_eq!(ack(&bench.taken()[0])["already"], true);
}

#[test]
fn streams_are_left_when_that_is_stored() {
    let mut bench = Bench::open();
    bench.follow("a");
    bench.emit(&json!(["unsubscribe", {"streams": ["a", "b"]}]));
    let orders = bench.taken();
    let [Order::Save(_, _, record)] = &orders[..] else {
        panic!("{orders:?}");
    };
    let record = crate::gateway::record::Record::decode(record).unwrap();
    assert!(record.subscriptions.is_empty());
    assert!(!bench.session.wants_deliveries());
    bench.saved(Ok(Saved::Saved));
    let orders = bench.taken();
    assert!(matches!(&orders[0], Order::Leave(stream) if stream.as_str() == "a"));
    assert_eq!(
        ack(&orders[1])["streams"],
        json!({"a": {"ok": true}, "b": {"ok": false, "error": {"code": "not_subscribed",
            "message": "the stream b is not followed by this socket"}}})
    );
    assert_eq!(bench.session.subscriptions(), 0);
}

#[test]
fn when_nobody_knows_what_is_stored_the_connection_ends() {
    for array in [
        json!(["subscribe", {"stream": "b"}]),
        json!(["unsubscribe", {"stream": "a"}]),
    ] {
        let mut bench = Bench::open();
        bench.follow("a");
        bench.emit(&array);
        bench.joined(continuous());
        bench.taken();
        bench.saved(Err(SessionError::Unavailable(away())));
        assert!(matches!(bench.taken()[..], [Order::Close]), "{array}");
    }
}

#[test]
fn without_recovery_nothing_is_stored_and_events_have_no_offset() {
    let mut bench = Bench::plain();
    assert_eq!(bench.session.pid(), None);
    bench.follow("a");
    assert_eq!(
        bench.deliver(&[entry("a", 6, None)]),
        [
            json!(["message", 6, {"stream": "a", "id": "6-0", "cursor": "6-0.6", "time": "1970-01-01T00:00:00.006Z"}])
        ]
    );
    bench.emit(&json!(["unsubscribe", {"stream": "a"}]));
    let orders = bench.taken();
    assert!(matches!(&orders[..], [Order::Leave(_), Order::Ack(..)]));
    assert_eq!(bench.session.deadline(), None);
}

#[test]
fn what_a_socket_sent_itself_without_echo_only_moves_its_position() {
    let mut bench = Bench::open();
    bench.follow("a");
    bench.follow("b");
    let own = bench.session.sid().to_owned();
    let arrays = bench.deliver(&[
        entry("a", 6, Some(&own)),
        entry("b", 7, Some("somebody-else")),
        entry("a", 8, None),
    ]);
    let offsets: Vec<&Value> = arrays.iter().map(|array| &array[3]).collect();
    assert_eq!(offsets, ["newSSSSS:0~6-0.6,1~7-0.7", "newSSSSS:0~8-0.8,1~7-0.7"]);
    let sent = |session: &str| {
        let mut event = Event::new(shared::Payload::Json(Bytes::from_static(b"1")));
        event.session = Some(session.into());
        Delivery::Ephemeral(Arc::new(EphemeralEvent::new(name("a"), event)))
    };
    let arrays = bench.deliver(&[sent(&own), sent("somebody-else")]);
    // No text at the end: the client must not take it for an offset.
    assert_eq!(
        arrays,
        [json!(["message", 1, {"stream": "a", "ephemeral": true}])]
    );
}

#[test]
fn history_is_answered_with_a_page() {
    let mut bench = Bench::open();
    bench.emit(&json!(["history", {"stream": "a", "last": 2}]));
    let mut orders = bench.taken();
    let Some(Order::Read(reading, request)) = orders.pop() else {
        panic!("{orders:?}");
    };
    assert_eq!((reading.stream.as_str(), request.limit), ("a", 2));
    let page = Page {
        entries: Vec::new(),
        cursor: cursor(3),
        head: cursor(3),
        tail_reached: true,
        verdict: Verdict::Continuous,
        degraded: false,
    };
    bench.session.page_read(&reading, Ok(page), &mut bench.orders);
    assert_eq!(
        ack(&bench.taken()[0]),
        json!({"events": [], "cursor": "3-0.3", "head": "3-0.3", "tail_reached": true,
            "verdict": {"kind": "continuous"}})
    );
    bench
        .session
        .page_read(&reading, Err(ReadError::WrongType), &mut bench.orders);
    assert_eq!(code(&bench.taken()[0]), "wrong_type");
}

#[test]
fn events_wait_at_each_bound_and_go_on_below_it() {
    let mut bench = Bench::open();
    for _ in 0..LIMITS.publishes_max {
        assert!(bench.session.wants_event());
        bench.emit(&json!(["typing", "1"]));
        bench.emit(&json!(["edit", "1", {"id": 1}]));
    }
    assert!(!bench.session.wants_event());
    let submitted: Vec<Publishing> = bench
        .taken()
        .into_iter()
        .filter_map(|order| match order {
            Order::Submit(publishing, _) => Some(publishing),
            _ => None,
        })
        .collect();
    assert_eq!(submitted.len(), LIMITS.publishes_max);
    let failed = Err(ApiError::new(Code::Full, "full"));
    for publishing in &submitted {
        bench.session.appended(publishing, &failed, &mut bench.orders);
        assert_eq!(code(&bench.taken()[0]), "full");
        assert!(bench.session.wants_event());
    }
    bench.emit(&json!(["edit", "1", {"id": "x".repeat(150)}]));
    assert!(!bench.session.wants_event());
    bench.taken();

    let mut bench = Bench::open();
    for stream in ["a", "b", "c", "d"] {
        bench.follow(stream);
    }
    bench.emit(&json!(["subscribe", {"stream": "e"}]));
    assert_eq!(code(&bench.taken()[0]), "too_many_subscriptions");
    // What is followed already counts once.
    bench.emit(&json!(["subscribe", {"streams": ["a", "b"]}]));
    assert_eq!(ack(&bench.taken()[0])["ok"], true);
}

#[test]
fn a_drain_waits_for_answers_but_not_for_ever() {
    let mut bench = Bench::open();
    bench.emit(&json!(["edit", "1", {"id": 1}]));
    let mut orders = bench.taken();
    let Some(Order::Submit(publishing, _)) = orders.pop() else {
        panic!();
    };
    let now = bench.at(0);
    bench.session.drain(now, &mut bench.orders);
    assert!(bench.taken().is_empty());
    assert!(!bench.session.wants_event() && !bench.session.wants_deliveries());
    let appended = Ok(Appended {
        cursor: cursor(3),
        duplicate: false,
    });
    bench.session.appended(&publishing, &appended, &mut bench.orders);
    assert!(matches!(bench.taken()[..], [Order::Ack(..), Order::Close]));

    let mut bench = Bench::open();
    bench.emit(&json!(["subscribe", {"stream": "a"}]));
    bench.taken();
    bench.session.drain(now, &mut bench.orders);
    assert!(bench.taken().is_empty());
    bench.joined(continuous());
    bench.saved(Ok(Saved::Saved));
    let orders = bench.taken();
    assert!(matches!(
        orders[..],
        [Order::Save(..), Order::Ack(..), Order::Close]
    ));

    let mut bench = Bench::open();
    bench.emit(&json!(["subscribe", {"stream": "a"}]));
    bench.taken();
    let begun = bench.at(0);
    bench.session.drain(begun, &mut bench.orders);
    let end = bench.session.deadline().unwrap();
    assert_eq!(end, bench.at(5).instant);
    let late = bench.at(5);
    bench.session.tick(late, &mut bench.orders);
    assert!(matches!(bench.taken()[..], [Order::Close]));
    bench.joined(continuous());
    assert!(bench.taken().is_empty());

    // Who is not in yet comes back to another edge at once.
    let mut bench = Bench::enter("/", &json!({}));
    bench.taken();
    bench.session.drain(begun, &mut bench.orders);
    assert!(matches!(bench.taken()[..], [Order::Close]));
    bench.created(Ok(generation(1)));
    assert!(bench.taken().is_empty());
}
