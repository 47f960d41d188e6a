//! How clients come in, and how their records are kept.

use broker::{Taken, Touched};

use super::*;
use crate::gateway::record::{FilterText, Record, RecordedSubscription};

const SID: &str = "oldSessionSSSSSSSSSS";
const PID: &str = "oldSessionPPPPPPPPPPPPPP";

fn record(namespace: &str, streams: &[(u64, &str, u64)]) -> Bytes {
    let subscriptions = streams
        .iter()
        .map(|(number, stream, start)| RecordedSubscription {
            number: *number,
            stream: name(stream),
            start: cursor(*start),
            filter: FilterText::default(),
        })
        .collect();
    Record::new(SID, namespace, 10, subscriptions).encode()
}

fn took(bench: &mut Bench, record: Bytes) {
    let taken = Taken {
        generation: generation(2),
        record,
    };
    let now = bench.at(0);
    bench.session.taken(Ok(Some(taken)), now, &mut bench.orders);
}

/// A client asks for its session, which is found.
fn comes_back(offset: Option<&str>, record: Bytes) -> Bench {
    let mut bench = Bench::enter("/", &json!({"pid": PID, "offset": offset}));
    assert!(matches!(&bench.taken()[..], [Order::TakeOver(pid)] if pid.as_str() == PID));
    took(&mut bench, record);
    bench
}

/// The session is a new one, because the old one is gone.
#[track_caller]
fn begins_anew(bench: &mut Bench) {
    let orders = bench.taken();
    let Some(Order::Create(pid, _)) = orders.last() else {
        panic!("{orders:?}");
    };
    assert_eq!(*pid, ids("new").pid);
    bench.created(Ok(generation(1)));
    assert!(matches!(bench.taken()[..], [Order::Accept(Arrival::Lost)]));
    assert_eq!(bench.session.sid(), &*ids("new").sid);
    assert_eq!(bench.session.subscriptions(), 0);
}

#[test]
fn the_record_is_stored_before_the_client_is_let_in() {
    let mut bench = Bench::enter("/", &json!({}));
    let orders = bench.taken();
    let [Order::Create(pid, record)] = &orders[..] else {
        panic!("{orders:?}");
    };
    let record = Record::decode(record).unwrap();
    assert_eq!(
        (record.sid.as_str(), record.namespace.as_str()),
        (bench.session.sid(), "/")
    );
    assert_eq!(*pid, ids("new").pid);
    assert!(!bench.session.wants_event());
    bench.created(Ok(generation(1)));
    assert!(matches!(bench.taken()[..], [Order::Accept(Arrival::Fresh)]));
    assert_eq!(bench.session.pid(), Some(&ids("new").pid));
    assert!(bench.session.wants_event());

    // While the log is away the connection ends; a refusal would keep the client from coming back.
    for outcome in [
        SessionError::Unavailable(away()),
        SessionError::Refused("no".into()),
    ] {
        let mut bench = Bench::enter("/", &json!({}));
        bench.taken();
        bench.created(Err(outcome));
        assert!(matches!(bench.taken()[..], [Order::Close]));
    }
}

#[test]
fn what_is_followed_from_the_beginning_is_in_the_record_and_announced_once() {
    let mut bench = Bench::enter("/home-1", &json!({"user": "ann"}));
    assert_eq!(join(&bench.taken()[0]), ("user:ann", From::Now));
    bench.joined(continuous());
    assert_eq!(join(&bench.taken()[0]).0, "home-1");
    bench.joined(continuous());
    let orders = bench.taken();
    let [Order::Create(_, record)] = &orders[..] else {
        panic!("{orders:?}");
    };
    let record = Record::decode(record).unwrap();
    let streams: Vec<&str> = record.subscriptions.iter().map(|s| s.stream.as_str()).collect();
    assert_eq!(streams, ["user:ann", "home-1"]);
    bench.created(Ok(generation(1)));
    let orders = bench.taken();
    assert!(matches!(orders[0], Order::Accept(Arrival::Fresh)));
    let announced: Vec<&str> = orders[1..]
        .iter()
        .map(|order| match order {
            Order::Submit(publishing, new) => {
                assert_eq!((new.event.name(), new.event.spread), ("came", true));
                assert_eq!(&new.event.data.raw()[..], b"[]");
                publishing.stream.as_str()
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(announced, ["user:ann", "home-1"]);
    assert!(bench.session.wants_deliveries());
}

#[test]
fn who_cannot_follow_what_everybody_follows_is_refused_with_the_reason() {
    let refused = |bench: &mut Bench| {
        let mut orders = bench.taken();
        let Some(Order::Refuse(message, data)) = orders.pop() else {
            panic!("{orders:?}");
        };
        assert!(orders.is_empty());
        let data: Value = serde_json::from_slice(&data).unwrap();
        assert_eq!(data["message"], message.as_str());
        data["code"].as_str().unwrap().to_owned()
    };
    for auth in [json!({}), json!({"user": ""}), json!({"user": {"id": 1}})] {
        let mut bench = Bench::enter("/home-1", &auth);
        assert_eq!(refused(&mut bench), "invalid_event");
    }
    let mut bench = Bench::enter("/home-1", &json!({"user": "a b"}));
    assert_eq!(refused(&mut bench), "invalid_stream");
    let mut bench = Bench::enter("/home-1", &json!({"user": "ann"}));
    bench.taken();
    bench.joined(Err(ReadError::WrongType));
    assert_eq!(refused(&mut bench), "wrong_type");
    // What passes is no reason to refuse.
    for passes in [ReadError::Unavailable(away()), ReadError::TooManyStreams(1)] {
        let mut bench = Bench::enter("/home-1", &json!({"user": "ann"}));
        bench.taken();
        bench.joined(Err(passes));
        assert!(matches!(bench.taken()[..], [Order::Close]));
    }
}

#[test]
fn a_session_goes_on_where_its_client_stands() {
    let recorded = record("/", &[(3, "a", 1), (7, "b", 2), (8, "c", 3)]);
    let mut bench = comes_back(Some("oldSessi:3~6-0.6,7~9-0.9,4~1-0.1"), recorded);
    for (stream, position) in [("a", 6), ("b", 9), ("c", 3)] {
        let orders = bench.taken();
        assert_eq!(join(&orders[0]), (stream, From::Cursor(cursor(position))));
        // Where something is missing the position stays until that is told.
        bench.joined(joined_at(position + 1, Verdict::Gap { lost: 1 }));
    }
    assert!(matches!(bench.taken()[..], [Order::Accept(Arrival::Recovered)]));
    assert_eq!(bench.session.sid(), SID);
    assert_eq!(bench.session.pid().unwrap().as_str(), PID);
    assert_eq!(bench.session.generation(), Some(generation(2)));
    let arrays = bench.deliver(&[entry("b", 10, None)]);
    assert_eq!(arrays[0][3], "oldSessi:3~6-0.6,7~10-0.10");
    // Its numbers go on too.
    bench.emit(&json!(["subscribe", {"stream": "d"}]));
    bench.joined(continuous());
    let orders = bench.taken();
    let Some(Order::Save(_, under, stored)) = orders.last() else {
        panic!("{orders:?}");
    };
    assert_eq!(*under, generation(2));
    let stored = Record::decode(stored).unwrap();
    assert_eq!(stored.subscriptions[3].number, 10);
    assert_eq!(
        stored.subscriptions[0].start,
        cursor(1),
        "starts stay what they were"
    );
}

#[test]
fn a_client_that_has_received_nothing_goes_on_from_the_beginning() {
    for offset in [None, Some("oldSessi:"), Some("elsewher:3~9-0.9")] {
        let mut bench = comes_back(offset, record("/", &[(3, "a", 1)]));
        assert_eq!(
            join(&bench.taken()[0]),
            ("a", From::Cursor(cursor(1))),
            "{offset:?}"
        );
        bench.joined(joined_at(1, Verdict::Continuous));
        assert!(matches!(bench.taken()[..], [Order::Accept(Arrival::Recovered)]));
    }
    let mut bench = comes_back(None, record("/", &[]));
    assert!(matches!(bench.taken()[..], [Order::Accept(Arrival::Recovered)]));
}

#[test]
fn what_cannot_be_recovered_begins_anew_and_says_so() {
    for (offset, record) in [
        (Some("no offset"), record("/", &[(3, "a", 1)])),
        (None, record("/other", &[(3, "a", 1)])),
        (None, Bytes::from_static(b"nonsense")),
        (
            None,
            record(
                "/",
                &[(1, "a", 1), (2, "b", 1), (3, "c", 1), (4, "d", 1), (5, "e", 1)],
            ),
        ),
    ] {
        let mut bench = comes_back(offset, record);
        begins_anew(&mut bench);
    }
    let mut bench = Bench::enter("/", &json!({"pid": PID}));
    bench.taken();
    let now = bench.at(0);
    bench.session.taken(Ok(None), now, &mut bench.orders);
    begins_anew(&mut bench);
    // Nothing that could be a name of a session is not even looked for.
    let mut bench = Bench::enter("/", &json!({"pid": "x"}));
    begins_anew(&mut bench);
    // A stream that is none any more.
    let mut bench = comes_back(None, record("/", &[(1, "a", 1), (2, "b", 1)]));
    bench.taken();
    bench.joined(continuous());
    bench.taken();
    bench.joined(Err(ReadError::WrongType));
    assert!(matches!(bench.orders[..2], [Order::Leave(_), Order::Leave(_)]));
    begins_anew(&mut bench);
}

#[test]
fn while_the_log_is_away_a_session_is_not_given_up() {
    let mut bench = Bench::enter("/", &json!({"pid": PID}));
    bench.taken();
    let now = bench.at(0);
    let failed = Err(SessionError::Unavailable(away()));
    bench.session.taken(failed, now, &mut bench.orders);
    assert!(matches!(bench.taken()[..], [Order::Close]));
    for passes in [ReadError::Unavailable(away()), ReadError::TooManyStreams(1)] {
        let mut bench = comes_back(None, record("/", &[(1, "a", 1)]));
        bench.taken();
        bench.joined(Err(passes));
        assert!(matches!(bench.taken()[..], [Order::Close]));
    }
}

#[test]
fn without_recovery_a_claim_is_not_looked_at() {
    let mut bench = Bench::enter("/plain", &json!({"pid": PID, "offset": "x"}));
    assert!(matches!(bench.taken()[..], [Order::Accept(Arrival::Fresh)]));
    assert_eq!(bench.session.deadline(), None);
}

/// The seconds from the start until the session wants to be called.
fn due(bench: &Bench) -> f64 {
    let due = bench.session.deadline().unwrap();
    due.duration_since(bench.start).as_secs_f64()
}

fn tick(bench: &mut Bench, seconds: u64) -> Vec<Order> {
    let now = bench.at(seconds);
    bench.session.tick(now, &mut bench.orders);
    bench.taken()
}

#[test]
fn a_record_is_kept_alive() {
    let mut bench = Bench::open();
    bench.follow("a");
    // Not all sessions at the same moment, but each at least twice in the time that it could be recovered in.
    assert!((45.0..=60.0).contains(&due(&bench)), "{}", due(&bench));
    assert!(tick(&mut bench, 44).is_empty());
    assert!(matches!(tick(&mut bench, 60)[..], [Order::Touch(_)]));
    assert!(bench.session.wants_event() && bench.session.wants_deliveries());
    let now = bench.at(60);
    bench.session.touched(Ok(Touched::Known), now);
    assert!((105.0..=120.0).contains(&due(&bench)), "{}", due(&bench));
    // While the log is away it is tried again soon.
    assert!(matches!(tick(&mut bench, 120)[..], [Order::Touch(_)]));
    let (now, failed) = (bench.at(120), Err(SessionError::Unavailable(away())));
    bench.session.touched(failed, now);
    assert_eq!(due(&bench), 125.0);
    assert!(matches!(tick(&mut bench, 125)[..], [Order::Touch(_)]));
}

#[test]
fn a_record_that_the_log_has_lost_is_stored_again() {
    let mut bench = Bench::open();
    bench.follow("a");
    tick(&mut bench, 60);
    let now = bench.at(60);
    bench.session.touched(Ok(Touched::Gone), now);
    assert_eq!(due(&bench), 60.0);
    let orders = tick(&mut bench, 60);
    let [Order::Save(_, _, stored)] = &orders[..] else {
        panic!("{orders:?}");
    };
    assert_eq!(Record::decode(stored).unwrap().subscriptions.len(), 1);
    // It fails, and is tried again soon.
    let failed = Err(SessionError::Unavailable(away()));
    bench.saved(failed);
    assert!(bench.taken().is_empty());
    assert!(matches!(tick(&mut bench, 65)[..], [Order::Save(..)]));
    // A request meanwhile waits for its own.
    bench.emit(&json!(["unsubscribe", {"stream": "a"}]));
    assert!(bench.taken().is_empty());
    bench.saved(Ok(Saved::Saved));
    let orders = bench.taken();
    let [Order::Save(_, _, stored)] = &orders[..] else {
        panic!("{orders:?}");
    };
    assert!(Record::decode(stored).unwrap().subscriptions.is_empty());
    bench.saved(Ok(Saved::Saved));
    assert!(matches!(bench.taken()[..], [Order::Leave(_), Order::Ack(..)]));
}

#[test]
fn a_session_that_another_edge_serves_ends_here() {
    let mut bench = Bench::open();
    bench.emit(&json!(["subscribe", {"stream": "a"}]));
    bench.joined(continuous());
    bench.taken();
    bench.saved(Ok(Saved::TakenOver));
    assert!(matches!(bench.taken()[..], [Order::Close]));
    assert!(!bench.session.wants_event() && !bench.session.wants_deliveries());
    assert_eq!(bench.session.deadline(), None);
}
