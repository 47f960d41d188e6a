//! Coming into namespaces and leaving them.

use super::client::{Client, Order, Seen};
use crate::socketio::{Gone, Limits};

#[tokio::test]
async fn a_client_is_let_in_with_its_sid_and_pid() {
    let mut client = Client::new();
    client.send(r#"0{"token":"123"}"#);
    assert_eq!(client.poll(), [""; 0], "the application takes its time");
    client.order("/", Order::AcceptAs("a\"b", "p"));
    assert_eq!(client.poll(), [r#"0{"sid":"a\"b","pid":"p"}"#]);
    client.send("0/custom,");
    client.order("/custom", Order::Accept);
    client.order("/custom", Order::Accept);
    assert_eq!(client.poll(), [r#"0/custom,{"sid":"s"}"#], "once");
    assert_eq!(
        client.seen(),
        [
            Seen::Connect("/".to_owned(), Some(r#"{"token":"123"}"#.to_owned())),
            Seen::Connect("/custom".to_owned(), None)
        ]
    );
}

#[tokio::test]
async fn an_unknown_namespace_is_refused_and_the_connection_stays() {
    let mut client = Client::new();
    for (packet, told) in [
        ("0/unknown", r#"4/unknown,{"message":"Invalid namespace"}"#),
        ("0/a?token=1,", r#"4/a?token=1,{"message":"Invalid namespace"}"#),
    ] {
        client.send(packet);
        assert_eq!(client.told(), [told]);
    }
    assert_eq!(client.seen(), []);
    assert!(!client.is_closing());
}

#[tokio::test]
async fn the_application_refuses_with_a_message_and_data() {
    let mut client = Client::new();
    client.send("0");
    client.order("/", Order::Refuse("no \"entry\"", None));
    client.order("/", Order::Emit(vec!["[\"a\"]"], vec![]));
    client.order("/", Order::Accept);
    assert_eq!(
        client.poll(),
        [r#"4{"message":"no \"entry\""}"#],
        "and nothing more"
    );
    client.send("0/a");
    client.order("/a", Order::Refuse("no", Some(r#"{"code":7}"#)));
    assert_eq!(client.poll(), [r#"4/a,{"message":"no","data":{"code":7}}"#]);
    let gone = |name: &str| Seen::Gone(name.to_owned(), Gone::Server);
    assert_eq!(
        client.seen(),
        [
            Seen::Connect("/".to_owned(), None),
            gone("/"),
            Seen::Connect("/a".to_owned(), None),
            gone("/a")
        ]
    );
    client.send("0");
    client.order("/", Order::Accept);
    assert_eq!(client.poll(), [r#"0{"sid":"s"}"#], "it may try again");
    assert!(!client.is_closing());
}

#[tokio::test]
async fn nobody_hears_anything_before_being_let_in() {
    let mut client = Client::new();
    client.send("0");
    client.order("/", Order::Emit(vec!["[\"a\"]"], vec![]));
    client.order("/", Order::EmitWithAck("[\"a\"]"));
    client.order("/", Order::Disconnect);
    assert_eq!(client.poll(), [""; 0]);
    assert_eq!(client.seen(), [Seen::Connect("/".to_owned(), None)]);
}

#[tokio::test]
async fn a_client_that_leaves_keeps_its_other_namespaces_and_its_connection() {
    let mut client = Client::within(&["/", "/a"]);
    client.send("1/a,");
    assert_eq!(client.seen(), [Seen::Gone("/a".to_owned(), Gone::Client)]);
    client.order("/", Order::Emit(vec!["[\"a\"]"], vec![]));
    assert_eq!(client.poll(), ["2[\"a\"]"]);
    client.send("1");
    assert_eq!(client.seen(), [Seen::Gone("/".to_owned(), Gone::Client)]);
    assert!(!client.is_closing());
    client.send("0");
    client.order("/", Order::Accept);
    assert_eq!(client.poll(), [r#"0{"sid":"s"}"#]);
}

#[tokio::test]
async fn what_a_client_said_before_it_heard_that_it_must_leave_is_no_fault() {
    let mut client = Client::within(&["/", "/a"]);
    client.order("/a", Order::Disconnect);
    client.order("/a", Order::Emit(vec!["[\"late\"]"], vec![]));
    assert_eq!(client.poll(), ["1/a,"]);
    assert_eq!(client.seen(), [Seen::Gone("/a".to_owned(), Gone::Server)]);
    for text in [
        "2/a,[\"b\"]",
        "3/a,1[]",
        "1/a,",
        "2/a,1[\"b\"]",
        r#"51-/a,["b",{"_placeholder":true,"num":0}]"#,
    ] {
        client.send(text);
    }
    client.send_binary(b"x");
    assert_eq!(client.seen(), []);
    assert!(!client.is_closing());
    client.send("0/a,");
    client.order("/a", Order::Accept);
    assert_eq!(client.poll(), [r#"0/a,{"sid":"s"}"#]);
    client.send("2/a,[\"c\"]");
    assert!(matches!(
        client.seen().as_slice(),
        [Seen::Connect(..), Seen::Event(..)]
    ));
    client.send("1/a,");
    client.send("2/a,[\"d\"]");
    assert!(client.is_closing(), "it has left by itself");
}

#[tokio::test]
async fn namespaces_are_bounded() {
    let limits = Limits {
        namespaces_max: 2,
        ..Limits::default()
    };
    let mut client = Client::with_limits(limits);
    for namespace in ["/a", "/b"] {
        client.send(&format!("0{namespace}"));
        client.order(namespace, Order::Accept);
    }
    assert_eq!(client.poll().len(), 2);
    client.send("0/c");
    assert_eq!(client.told(), [r#"4/c,{"message":"Too many namespaces"}"#]);
    client.send("1/a");
    client.send("0/c");
    client.order("/c", Order::Accept);
    assert_eq!(client.poll(), [r#"0/c,{"sid":"s"}"#]);
}

#[tokio::test]
async fn of_namespaces_that_were_left_a_bounded_number_is_remembered() {
    let limits = Limits {
        namespaces_max: 2,
        ..Limits::default()
    };
    let mut client = Client::with_limits(limits);
    for namespace in ["/a", "/b", "/c"] {
        client.send(&format!("0{namespace}"));
        client.order(namespace, Order::Accept);
        client.order(namespace, Order::Disconnect);
        assert_eq!(client.poll().len(), 2);
    }
    client.send("2/c,[\"x\"]");
    client.send("2/b,[\"x\"]");
    assert!(!client.is_closing());
    client.send("2/a,[\"x\"]");
    assert!(client.is_closing());
}
