//! How connections end.

use super::client::{Client, Order, Seen};
use crate::engineio::{Ended, Protocol as _};
use crate::socketio::Gone;

fn gone(name: &str, reason: Gone) -> Seen {
    Seen::Gone(name.to_owned(), reason)
}

#[tokio::test]
async fn every_socket_hears_once_that_the_connection_is_gone() {
    let mut client = Client::within(&["/", "/a"]);
    client.send("0/b");
    client.seen();
    client.connection.ended(Ended::Client);
    let lost = ["/", "/a", "/b"].map(|name| gone(name, Gone::Connection));
    assert_eq!(client.seen(), lost);
    client.end();
    assert_eq!(client.seen(), []);
}

#[tokio::test]
async fn a_socket_ends_the_whole_connection_behind_what_was_said() {
    let mut client = Client::within(&["/", "/a"]);
    client.order("/a", Order::Emit(vec!["[\"last\"]"], vec![]));
    client.order("/a", Order::Close);
    client.order("/a", Order::Emit(vec!["[\"more\"]"], vec![]));
    assert_eq!(client.poll(), ["2/a,[\"last\"]"], "and no word of leaving");
    assert!(client.is_closing());
    client.send("2[\"a\"]");
    assert_eq!(client.seen(), [], "nothing is taken any more");
    assert!(!client.connection.wants_message());
}

#[tokio::test]
async fn draining_waits_for_every_socket() {
    let mut client = Client::within(&["/", "/a"]);
    client.connection.drain(&mut client.out);
    assert_eq!(
        client.seen(),
        ["/", "/a"].map(|name| Seen::Drain(name.to_owned()))
    );
    client.order("/", Order::Close);
    client.poll();
    assert!(!client.is_closing());
    client.send("2[\"a\"]");
    assert_eq!(client.seen(), [], "the first is done");
    client.send("2/a,[\"a\"]");
    assert_eq!(client.seen().len(), 1, "the second is not");
    client.send("0/b");
    assert_eq!(client.told(), [""; 0], "a refusal would keep the client away");
    client.order("/a", Order::Close);
    client.poll();
    assert!(client.is_closing());
}

#[tokio::test]
async fn draining_ends_at_once_where_nobody_is_or_when_the_last_one_leaves() {
    let mut client = Client::new();
    client.connection.drain(&mut client.out);
    assert!(client.is_closing());

    let mut client = Client::within(&["/"]);
    client.connection.drain(&mut client.out);
    assert!(!client.is_closing());
    client.send("1");
    assert!(client.is_closing());
}

#[tokio::test]
async fn what_is_out_of_place_closes_the_connection() {
    for text in [
        "2[\"a\"]",
        "2/b,[\"a\"]",
        "31[]",
        "1",
        "1/b",
        "0/a",
        "4{}",
        "abc",
        "",
        "2/a,{}",
        "2/a,[\"disconnect\"]",
        r#"511-/a,["a"]"#,
    ] {
        let mut client = Client::within(&["/a"]);
        client.send(text);
        assert!(client.is_closing(), "{text}");
        assert_eq!(client.told(), [""; 0], "{text}");
        assert_eq!(client.seen(), [], "{text}");
        client.end();
        assert_eq!(client.seen(), [gone("/a", Gone::Connection)]);
    }
}

#[tokio::test]
async fn whoever_has_not_been_let_in_may_neither_speak_nor_ask_again() {
    for text in ["2[\"a\"]", "31[]", "1", "0"] {
        let mut client = Client::new();
        client.send("0");
        client.send(text);
        assert!(client.is_closing(), "{text}");
    }
}
