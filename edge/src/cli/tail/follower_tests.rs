//! The follower, line by line.

use jiff::tz::TimeZone;

use super::*;
use crate::cli::tail::format::OutputFormat;

fn follower(streams: &[&str], cursor: Option<&str>, until_caught_up: bool) -> Follower {
    let streams: Vec<StreamName> = streams.iter().map(|s| s.parse().unwrap()).collect();
    let formatter = Formatter::new(
        OutputFormat::Raw,
        TimeZone::UTC,
        streams.iter().map(StreamName::as_str),
    );
    let mut follower = Follower::new(formatter, streams, cursor.map(str::to_owned), until_caught_up);
    follower.connected();
    follower
}

fn event(stream: &str, id: &str) -> Bytes {
    let line = serde_json::json!({"id": id, "stream": stream, "data": id, "cursor": format!("{id}.1")});
    Bytes::from(line.to_string())
}

/// Takes lines; brings what is printed and the last step.
fn take(follower: &mut Follower, lines: &[Bytes]) -> (String, Step) {
    let mut batch = Batch::default();
    let mut step = Step::Continue;
    for line in lines {
        step = follower.take(line, &mut batch).unwrap();
    }
    (String::from_utf8(batch.bytes).unwrap(), step)
}

#[test]
fn what_came_before_is_not_printed_again() {
    let mut follower = follower(&["a"], Some("5-0.9"), false);
    let lines = [
        event("a", "5-0"),
        event("a", "6-0"),
        event("a", "4-0"),
        event("a", "6-0"),
        event("a", "6-1"),
    ];
    assert_eq!(take(&mut follower, &lines).0, "6-0\n6-1\n");
    assert_eq!(follower.cursor().unwrap(), "6-1.1");
}

#[test]
fn a_reset_begins_anew_in_that_stream_only() {
    let mut follower = follower(&["a", "b"], Some("a~9-0.9,b~9-0.9"), false);
    let reset = br#"{"control":"reset","stream":"a","cursor":"a~3-0.1,b~9-0.9"}"#;
    let lines = [
        Bytes::from_static(reset),
        event("a", "3-0"),
        event("a", "4-0"),
        event("b", "4-0"),
    ];
    assert_eq!(take(&mut follower, &lines).0, "4-0\n");
    assert_eq!(follower.losses(), 1);
}

#[test]
fn a_cursor_moves_without_an_event_and_what_is_unknown_is_passed_over() {
    let mut follower = follower(&["a"], None, false);
    let lines = [
        Bytes::from_static(br#"{"control":"cursor","cursor":"7-0.3"}"#),
        Bytes::from_static(br#"{"control":"tea"}"#),
        Bytes::new(),
    ];
    assert_eq!(take(&mut follower, &lines), (String::new(), Step::Continue));
    assert_eq!(follower.cursor().unwrap(), "7-0.3");
}

#[test]
fn a_malformed_line_changes_nothing() {
    let mut follower = follower(&["a"], Some("5-0.9"), false);
    let mut batch = Batch::default();
    follower
        .take(&Bytes::from_static(b"{\"id\":"), &mut batch)
        .unwrap_err();
    assert!(batch.is_empty());
    assert_eq!(follower.cursor().unwrap(), "5-0.9");
}

#[test]
fn caught_up_ends_the_tail_only_when_asked_and_only_for_all_streams() {
    let of = |stream: &str| {
        Bytes::from(format!(
            r#"{{"control":"caught_up","stream":"{stream}","cursor":"c"}}"#
        ))
    };
    let all = Bytes::from_static(br#"{"control":"caught_up","cursor":"c"}"#);
    assert_eq!(
        take(&mut follower(&["a"], None, false), &[of("a")]).1,
        Step::Continue
    );
    assert_eq!(
        take(&mut follower(&["a"], None, true), &[of("a")]).1,
        Step::Finished
    );
    assert_eq!(
        take(&mut follower(&["a", "b"], None, true), std::slice::from_ref(&all)).1,
        Step::Finished
    );
    let mut both = follower(&["a", "b"], None, true);
    assert_eq!(take(&mut both, &[of("a")]).1, Step::Continue);
    both.connected();
    assert_eq!(
        take(&mut both, &[of("b")]).1,
        Step::Continue,
        "each connection catches up by itself"
    );
    assert_eq!(take(&mut both, &[of("a")]).1, Step::Finished);
}

#[test]
fn ended_ends_the_tail_and_reconnect_does_not() {
    let ended = Bytes::from_static(br#"{"control":"ended","cursor":"c"}"#);
    assert_eq!(
        take(&mut follower(&["a", "b"], None, false), &[ended]).1,
        Step::Finished
    );
    let reconnect = Bytes::from_static(br#"{"control":"reconnect","cursor":"8-0.8"}"#);
    let mut one = follower(&["a"], None, false);
    assert_eq!(take(&mut one, &[reconnect]).1, Step::Reconnect);
    assert_eq!(one.cursor().unwrap(), "8-0.8");
}

#[test]
fn what_cannot_be_verified_is_a_loss_only_where_something_was_read_before() {
    let line = Bytes::from_static(br#"{"control":"unverified","stream":"a","cursor":"5-0.9"}"#);
    let mut first = follower(&["a"], None, false);
    take(&mut first, std::slice::from_ref(&line));
    assert_eq!(first.losses(), 0);
    first.connected();
    take(&mut first, &[line]);
    assert_eq!(first.losses(), 1);
}
