//! Time, memory, and who is waited for.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use shared::limits::{SIO_ATTACHMENT_TIMEOUT, SIO_UNSENT_BYTES_MAX};
use tokio::time::advance;

use super::client::{Client, Order};
use crate::engineio::Protocol as _;
use crate::socketio::Limits;

const ONE: &str = r#"51-["m",{"_placeholder":true,"num":0}]"#;
const MS: Duration = Duration::from_millis(1);

fn limits() -> Limits {
    Limits {
        connect_timeout: Duration::from_secs(1),
        namespaces_max: 4,
        event_bytes_max: 100,
    }
}

fn poll_once(client: &mut Client, writable: bool) -> Poll<()> {
    let mut cx = Context::from_waker(Waker::noop());
    client.connection.poll(&mut cx, writable, &mut client.out)
}

#[tokio::test(start_paused = true)]
async fn a_client_has_to_come_into_a_namespace_in_time() {
    let mut client = Client::with_limits(limits());
    client.poll();
    client.send("0/unknown");
    client.send("0");
    advance(Duration::from_secs(1) - MS).await;
    client.poll();
    assert!(!client.is_closing());
    advance(MS * 2).await;
    client.poll();
    assert!(client.is_closing());
}

#[tokio::test(start_paused = true)]
async fn whoever_was_in_a_namespace_once_may_stay_without() {
    let mut client = Client::with_limits(limits());
    client.send("0");
    client.order("/", Order::Accept);
    client.poll();
    client.send("1");
    advance(Duration::from_secs(100)).await;
    client.poll();
    assert!(!client.is_closing());
}

#[tokio::test(start_paused = true)]
async fn an_attachment_has_to_come_in_time_unless_the_client_is_not_read() {
    let mut client = Client::within(&["/"]);
    client.send(&ONE.replace("51-", "52-"));
    client.poll();
    advance(SIO_ATTACHMENT_TIMEOUT - MS).await;
    client.send_binary(b"x");
    advance(SIO_ATTACHMENT_TIMEOUT - MS).await;
    client.poll();
    assert!(!client.is_closing());
    client.state().wants_no_event.push("/");
    advance(SIO_ATTACHMENT_TIMEOUT).await;
    client.poll();
    assert!(!client.is_closing());
    client.state().wants_no_event.clear();
    advance(SIO_ATTACHMENT_TIMEOUT + MS).await;
    client.poll();
    assert!(client.is_closing());
}

#[tokio::test(start_paused = true)]
async fn a_complete_packet_is_waited_for_no_longer() {
    let mut client = Client::within(&["/"]);
    client.send(ONE);
    client.poll();
    client.send_binary(b"x");
    advance(SIO_ATTACHMENT_TIMEOUT * 2).await;
    client.poll();
    assert!(!client.is_closing());
}

#[tokio::test]
async fn an_event_is_bounded_with_its_attachments() {
    let within = |client: &mut Client| {
        client.send("0");
        client.order("/", Order::Accept);
        client.poll();
    };
    let header = r#"["m",{"_placeholder":true,"num":0}]"#;
    let fits = 100 - header.len();
    let mut client = Client::with_limits(limits());
    within(&mut client);
    client.send(&format!("52-{header}"));
    client.send_binary(vec![0; fits].leak());
    assert!(!client.is_closing());
    client.send_binary(b"x");
    assert!(client.is_closing());

    let mut client = Client::with_limits(limits());
    within(&mut client);
    client.send(&format!("2[\"{}\"]", "a".repeat(100)));
    assert!(client.is_closing());
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_not_read_any_more() {
    let mut client = Client::within(&["/"]);
    let mut sent = 0;
    while client.connection.wants_message() {
        client.state().acks.push_back("[\"0123456789\"]");
        client.send("21[\"a\"]");
        client.poll_as(false);
        sent += 1;
        assert!(sent < SIO_UNSENT_BYTES_MAX);
    }
    let told = client.out.bytes();
    assert!(told.abs_diff(SIO_UNSENT_BYTES_MAX) < 100, "{told}");
    client.told();
    assert!(poll_once(&mut client, false).is_pending());
    assert!(poll_once(&mut client, true).is_ready(), "it is read again");
    assert!(poll_once(&mut client, true).is_pending());
    assert!(client.connection.wants_message());
    // Nor can it make the connection speak without end about namespaces that do not exist.
    while client.connection.wants_message() {
        client.send("0/unknown");
    }
}

#[tokio::test]
async fn one_socket_that_wants_nothing_keeps_the_connection_from_being_read() {
    let mut client = Client::within(&["/", "/a"]);
    assert!(client.connection.wants_message());
    client.state().wants_no_event.push("/a");
    assert!(!client.connection.wants_message());
    client.send("1/a");
    assert!(client.connection.wants_message());
    // The application changes its mind.
    client.state().wants_no_event.push("/");
    assert!(poll_once(&mut client, false).is_pending());
    client.state().wants_no_event.clear();
    assert!(poll_once(&mut client, false).is_ready(), "it is read again");
    client.state().wants_no_event.push("/b");
    client.send("0/b");
    assert!(client.connection.wants_message(), "it is not in yet");
}

/// What every client costs, beside what the application keeps for it.
#[test]
fn a_connection_is_small() {
    use super::super::{Connection, Slot};
    use super::client::Script;
    let connection = size_of::<Connection<Script>>() - size_of::<String>();
    assert!(connection <= 120, "{connection}");
    let slot = size_of::<Slot<()>>();
    assert!(slot <= 24, "{slot}");
}
