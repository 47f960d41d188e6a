//! A client that says anything at all.

use proptest::prelude::*;

use super::client::{Client, Order, Seen};
use crate::engineio::Protocol as _;

const PLACEHOLDERS: &str = r#"["m",{"_placeholder":true,"num":0}]"#;

#[derive(Debug, Clone)]
enum Step {
    Text(String),
    Binary(&'static [u8]),
    Order(&'static str, Order),
    Poll(bool),
    Drain,
}

fn step() -> impl Strategy<Value = Step> {
    let namespace = || prop::sample::select(vec!["", "/a,", "/unknown,", "/b"]);
    let packet = (
        0..8_u8,
        prop::sample::select(vec!["", "1-", "2-", "11-"]),
        namespace(),
        prop::sample::select(vec!["", "7"]),
        prop::sample::select(vec!["", "[\"m\"]", "{}", "[]", PLACEHOLDERS, "[\"connect\"]"]),
    )
        .prop_map(|(digit, attachments, namespace, ack, payload)| {
            Step::Text(format!("{digit}{attachments}{namespace}{ack}{payload}"))
        });
    // What a client may well say, so that it gets somewhere.
    let sound = prop::sample::select(vec!["0", "0/a,", "2[\"m\"]", "2/a,3[\"m\"]", "37[]", "1/a,", "1"]);
    let order = (
        prop::sample::select(vec!["/", "/a", "/b"]),
        prop::sample::select(vec![
            Order::Accept,
            Order::Accept,
            Order::Refuse("no", None),
            Order::Disconnect,
            Order::Close,
            Order::EmitWithAck("[\"q\"]"),
            Order::Emit(vec![PLACEHOLDERS], vec![b"x"]),
        ]),
    )
        .prop_map(|(namespace, order)| Step::Order(namespace, order));
    prop_oneof![
        3 => packet,
        8 => sound.prop_map(|text| Step::Text(text.to_owned())),
        1 => ".{0,20}".prop_map(Step::Text),
        2 => Just(Step::Binary(b"xyz")),
        5 => order,
        6 => any::<bool>().prop_map(Step::Poll),
        1 => Just(Step::Drain),
    ]
}

/// What must hold of everything that the application saw.
fn check(seen: &[Seen]) -> Result<(), TestCaseError> {
    for namespace in ["/", "/a", "/b"] {
        // A socket comes, may see events, and goes; then another may come.
        let mut there = false;
        for seen in seen {
            match seen {
                Seen::Connect(name, _) if name == namespace => {
                    prop_assert!(!there);
                    there = true;
                }
                Seen::Gone(name, _) if name == namespace => {
                    prop_assert!(there);
                    there = false;
                }
                Seen::Event(name, event) if name == namespace => {
                    prop_assert!(there);
                    prop_assert!(event.name == "m", "{:?}", event);
                }
                Seen::Answer(name, _) if name == namespace => prop_assert!(there),
                _ => {}
            }
        }
        prop_assert!(!there, "it was told that it has gone");
    }
    Ok(())
}

proptest! {
    #[test]
    fn whatever_a_client_does_its_sockets_come_and_go_in_order(steps in prop::collection::vec(step(), 0..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _entered = runtime.enter();
        let mut client = Client::new();
        let mut seen = Vec::new();
        for step in steps {
            let was_closing = client.is_closing();
            match step {
                Step::Text(text) => client.send(&text),
                Step::Binary(bytes) => client.send_binary(bytes),
                Step::Order(namespace, order) => client.order(namespace, order),
                Step::Poll(writable) => client.poll_as(writable),
                Step::Drain => client.connection.drain(&mut client.out),
            }
            let told = client.told();
            prop_assert!(!was_closing || told.is_empty(), "{told:?}");
            seen.extend(client.seen());
        }
        client.end();
        seen.extend(client.seen());
        // Names that only a regular expression made up may be there too, but nobody else's events.
        check(&seen)?;
    }
}
