//! The built-in events, asked for in every way.

#![allow(clippy::unwrap_used)]

use broker::Direction;
use bytes::Bytes;
use proptest::prelude::*;
use shared::wire::PlainEvent;
use shared::{Cursor, Payload};

use super::*;
use crate::gateway::arguments::Binary;

fn plain(array: &[u8]) -> Option<PlainEvent> {
    PlainEvent::of(std::str::from_utf8(array).unwrap())
}

fn read(name: &str, argument: &str) -> Result<Request, ApiError> {
    let binary = Binary {
        attachments: &[Bytes::from_static(b"\x00\xff")],
        bytes_max: 1_000,
    };
    let array = Bytes::from(format!("[\"{name}\",{argument}]"));
    let plain = plain(&array);
    built_in(name, &Arguments::new(&array, plain.as_ref(), binary), 60_000).unwrap()
}

#[track_caller]
fn refused(name: &str, argument: &str, code: Code, hint: &str) {
    let error = read(name, argument).unwrap_err();
    assert_eq!(error.code(), code, "{argument}: {error}");
    assert!(error.message().contains(hint), "{argument}: {error}");
}

fn subscribed(argument: &str) -> (Vec<(String, From)>, Naming, FilterText) {
    let Request::Subscribe(subscribe) = read("subscribe", argument).unwrap() else {
        panic!("{argument}");
    };
    let targets = subscribe.targets.into_iter();
    let targets = targets.map(|(stream, from)| (stream.to_string(), from)).collect();
    (targets, subscribe.naming, subscribe.filter)
}

#[test]
fn subscriptions_begin_where_they_are_asked_to() {
    let at = |ms, n| From::Cursor(Cursor::new(EntryId::new(ms, 0), n));
    let one = |from| vec![("a".to_owned(), from)];
    for (argument, targets) in [
        (r#"{"stream":"a"}"#, one(From::Now)),
        (r#"{"stream":"a","from":null}"#, one(From::Now)),
        (r#"{"stream":"a","from":"start"}"#, one(From::Start)),
        (r#"{"stream":"a","from":"7-0.3"}"#, one(at(7, 3))),
        (r#"{"stream":"a","last":5}"#, one(From::Last(5))),
        (r#"{"stream":"a","since":"1m"}"#, one(From::Since(EntryId::ZERO))),
    ] {
        assert_eq!(subscribed(argument).0, targets, "{argument}");
        assert_eq!(subscribed(argument).1, Naming::One);
    }
    let two = |a, b| vec![("a".to_owned(), a), ("b".to_owned(), b)];
    for (argument, targets) in [
        (r#"{"streams":["a","b"]}"#, two(From::Now, From::Now)),
        (
            r#"{"streams":["a","b"],"from":"a~7-0.3,b~8-0.1"}"#,
            two(at(7, 3), at(8, 1)),
        ),
        (
            r#"{"streams":{"a":"start","b":"7-0.3"}}"#,
            two(From::Start, at(7, 3)),
        ),
    ] {
        assert_eq!(subscribed(argument).0, targets, "{argument}");
        assert_eq!(subscribed(argument).1, Naming::Several);
    }
    let (_, _, filter) = subscribed(r#"{"stream":"a","event":["x","y"],"match":"^1"}"#);
    assert_eq!(filter.events, ["x", "y"]);
    assert_eq!(filter.pattern.as_deref(), Some("^1"));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let event = Code::InvalidEvent;
    let parameter = Code::InvalidParameter;
    refused("subscribe", "1", event, "object");
    refused("subscribe", "[\"a\"]", event, "object");
    refused("subscribe", "{}", event, "missing");
    refused("subscribe", r#"{"stream":"a"},1"#, event, "one argument");
    refused(
        "subscribe",
        r#"{"stream":"a","form":"start"}"#,
        event,
        "unknown field `form`",
    );
    refused("subscribe", r#"{"stream":"a","streams":["b"]}"#, event, "exclude");
    refused("subscribe", r#"{"streams":[]}"#, event, "no stream");
    refused("subscribe", r#"{"streams":["a","a"]}"#, event, "twice");
    refused("subscribe", r#"{"stream":"ä"}"#, Code::InvalidStream, "letters");
    refused(
        "subscribe",
        r#"{"stream":"a","from":"x"}"#,
        parameter,
        "not a cursor",
    );
    refused(
        "subscribe",
        r#"{"stream":"a","last":1,"from":"now"}"#,
        parameter,
        "combined",
    );
    refused(
        "subscribe",
        r#"{"stream":"a","since":"soon"}"#,
        parameter,
        "since",
    );
    refused("subscribe", r#"{"stream":"a","match":"("}"#, parameter, "match");
    let long = format!(r#"{{"stream":"a","event":"e","match":"{}"}}"#, "x".repeat(500));
    refused("subscribe", &long, event, "400 bytes");
    refused(
        "subscribe",
        r#"{"streams":["a","b"],"from":"7-0.3"}"#,
        parameter,
        "one stream",
    );
    refused("unsubscribe", r#"{"streams":{"a":"now"}}"#, event, "names");
    refused("publish", r#"{"stream":"a"}"#, event, "data");
    refused(
        "publish",
        r#"{"stream":"a","data":1,"key":""}"#,
        Code::InvalidKey,
        "printable",
    );
    refused(
        "publish",
        r#"{"stream":"a","data":1,"key":"k","ephemeral":true}"#,
        event,
        "ephemeral",
    );
    let long = format!(r#"{{"stream":"a","data":1,"event":"{}"}}"#, "e".repeat(201));
    refused("publish", &long, event, "200");
    refused(
        "publish",
        r#"{"stream":"a","data":1,"event":""}"#,
        event,
        "name is empty",
    );
    refused("history", r#"{"stream":"a","limit":0}"#, parameter, "limit");
    refused("history", r#"{"streams":["a"]}"#, event, "unknown field");
}

#[test]
fn a_publish_keeps_its_data_as_they_were_sent() {
    let published = |argument: &str| match read("publish", argument).unwrap() {
        Request::Publish(publish) => publish,
        other => panic!("{other:?}"),
    };
    let publish = published(r#"{"stream":"a","event":"e","data":{"b":1.0, "a":2},"key":"k","echo":false}"#);
    assert_eq!(&publish.new.event.data.raw()[..], br#"{"b":1.0, "a":2}"#);
    assert_eq!(publish.new.event.name(), "e");
    assert_eq!(publish.new.key.unwrap().as_str(), "k");
    assert!(!publish.echo && !publish.ephemeral && !publish.new.event.spread);
    let publish = published(r#"{"stream":"a","data":null,"ephemeral":true}"#);
    assert_eq!(publish.new.event.name, None);
    assert!(publish.echo && publish.ephemeral);
    let publish = published(r#"{"stream":"a","data":{"_placeholder":true,"num":0}}"#);
    assert_eq!(
        publish.new.event.data,
        Payload::Bytes(Bytes::from_static(b"\x00\xff"))
    );
}

#[test]
fn history_is_a_page() {
    let Request::History(stream, request) =
        read("history", r#"{"stream":"a","from":"7-0.3","limit":5}"#).unwrap()
    else {
        panic!();
    };
    assert_eq!(stream.as_str(), "a");
    let from = From::Cursor(Cursor::new(EntryId::new(7, 0), 3));
    assert_eq!(request, ReadRequest::forward(from, 5));
    let Request::History(_, request) =
        read("history", r#"{"stream":"a","reverse":true,"until":"10s"}"#).unwrap()
    else {
        panic!();
    };
    assert!(matches!(
        request.direction,
        Direction::Backward { before: None, .. }
    ));
    assert_eq!(request.until, Some(EntryId::new(50_000, u64::MAX)));
}

/// Objects that may be a publish, or nearly.
fn nearly_a_publish() -> impl Strategy<Value = String> {
    let members = [
        r#""stream":"a""#,
        r#""stream" : "doc:1""#,
        r#""stream":"""#,
        r#""stream":null"#,
        r#""stream":"\u0061""#,
        r#""data":{"at":3,"insert":"x"}"#,
        r#""data":[1, "two",
 null]"#,
        r#""data":1e5"#,
        r#""data":"\n""#,
        r#""data":null"#,
        r#""data":{"_placeholder":true,"num":0}"#,
        r#""event":"edit""#,
        r#""event":"""#,
        r#""event":1"#,
        r#""key":"k-1""#,
        r#""key":" ""#,
        r#""durability":"replicas:1""#,
        r#""durability":"none""#,
        r#""ephemeral":true"#,
        r#""ephemeral":1"#,
        r#""echo":false"#,
        r#""echo":null"#,
        r#""other":1"#,
    ];
    proptest::collection::vec(proptest::sample::select(members.to_vec()), 0..5)
        .prop_map(|members| format!("{{{}}}", members.join(", ")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    /// What is taken apart in one look is what the parser makes of it, down to what is refused and why.
    #[test]
    fn a_publish_is_the_same_however_it_is_read(argument in nearly_a_publish(), attached in any::<bool>()) {
        let attachments = [Bytes::from_static(b"\x00\xff")];
        let binary = Binary { attachments: if attached { &attachments } else { &[] }, bytes_max: 1_000 };
        let array = Bytes::from(format!("[\"publish\" , {argument} ]"));
        let told = |result: Result<Request, ApiError>| format!("{result:?}");
        let plain = plain(&array);
        let arguments = Arguments::new(&array, plain.as_ref(), binary);
        prop_assert_eq!(told(publish(&arguments)), told(any_publish(&arguments)));
    }

    #[test]
    fn no_argument_makes_it_fall_over(argument in r#"[{}\[\]":,0-9a-z]{0,40}"#, which in 0..4usize) {
        let name = ["subscribe", "unsubscribe", "publish", "history"][which];
        let _ = read(name, &argument);
    }
}

#[test]
fn an_ordinary_publish_is_read_in_one_look() {
    let array =
        Bytes::from_static(br#"["publish",{"stream":"doc:1","event":"edit","data":{"at":3},"key":"k"}]"#);
    let binary = Binary {
        attachments: &[],
        bytes_max: 1_000,
    };
    let seen = plain(&array);
    assert!(plain_publish(&Arguments::new(&array, seen.as_ref(), binary)).is_some());
    let two = Bytes::from_static(br#"["publish",{"stream":"a","data":1},{}]"#);
    assert_eq!(plain(&two), None);
    assert!(plain_publish(&Arguments::new(&two, None, binary)).is_none());
}
