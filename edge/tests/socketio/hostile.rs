//! Clients that break the protocol, or take advantage of it.

use std::path::Path;
use std::time::Duration;

use edge::socketio::Limits;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::time::timeout;
use tokio_websockets::Message;

use crate::client::DEADLINE;
use crate::raw::Raw;
use crate::server::Server;

const ONE: &str = r#"["echo",{"_placeholder":true,"num":0}]"#;

#[tokio::test]
async fn whoever_breaks_the_protocol_is_cut_off_and_nobody_else() {
    edge::metrics::install();
    let server = Server::start().await;
    let mut good = Raw::connected(&server).await;
    let long = "4".repeat(1000);
    let broken = [
        "4",
        "4abc",
        "42",
        "42{}",
        "42[]",
        "42[\"connect\"]",
        "42abc[\"echo\"]",
        "42/a,[\"echo\"]",
        "41/a",
        "40",
        "43[]",
        "44{}",
        "451-[\"echo\",{\"_placeholder\":true,\"num\":1}]",
        "4511-[\"echo\"]",
        "450-[\"echo\"]",
        "42[\"echo\",\"\\x\"]",
        &long,
    ];
    for (index, text) in broken.iter().enumerate() {
        let mut bad = Raw::connected(&server).await;
        bad.say(text).await;
        assert_eq!(bad.rest().await, [""; 0], "{text}");
        server.log.wait("/ gone Connection", index + 1).await;
    }
    assert!(!server.log.lines().contains(&"/ echo".to_owned()));
    let metrics = edge::metrics::render();
    for violation in [
        "type",
        "payload",
        "reserved_event",
        "not_connected",
        "placeholder",
        "wrong_side",
    ] {
        let counted = format!("weir_socketio_violations_total{{violation=\"{violation}\"}}");
        assert!(metrics.contains(&counted), "{counted}: {metrics}");
    }
    good.say("427[\"echo\"]").await;
    assert_eq!(good.hear().await.unwrap(), "437[]");
}

#[tokio::test]
async fn binary_out_of_place_and_text_in_its_place_cut_the_client_off() {
    let server = Server::start().await;
    let mut bad = Raw::connected(&server).await;
    bad.send_binary(vec![1, 2, 3]).await;
    assert_eq!(bad.rest().await, [""; 0]);
    let mut bad = Raw::connected(&server).await;
    bad.say(&format!("451-{ONE}")).await;
    bad.say("42[\"echo\"]").await;
    assert_eq!(bad.rest().await, [""; 0]);
    server.log.wait("/ gone Connection", 2).await;
    assert!(!server.log.lines().contains(&"/ echo".to_owned()));
}

#[tokio::test]
async fn attachments_are_bounded_together() {
    let limits = Limits {
        event_bytes_max: 100_000,
        ..Limits::default()
    };
    let server = Server::start_with(limits).await;
    let mut bad = Raw::connected(&server).await;
    let two = r#"["echo",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
    for (second, fits) in [(49_000, true), (60_000, false)] {
        bad.say(&format!("452-{two}")).await;
        bad.send_binary(vec![0; 50_000]).await;
        bad.send_binary(vec![0; second]).await;
        match fits {
            true => {
                assert_eq!(bad.hear().await.unwrap(), format!("452-{two}"));
                assert_eq!([bad.hear().await.unwrap(), bad.hear().await.unwrap()], ["b", "b"]);
            }
            false => assert_eq!(bad.rest().await, [""; 0]),
        }
    }
}

#[tokio::test]
async fn whoever_connects_to_no_namespace_in_time_is_cut_off() {
    let limits = Limits {
        connect_timeout: Duration::from_millis(200),
        ..Limits::default()
    };
    let server = Server::start_with(limits).await;
    let mut good = Raw::connected(&server).await;
    let mut idle = Raw::open(&server).await;
    let mut refused = Raw::open(&server).await;
    refused.say("40/unknown").await;
    assert_eq!(idle.rest().await, [""; 0]);
    assert_eq!(
        refused.rest().await,
        ["44/unknown,{\"message\":\"Invalid namespace\"}"]
    );
    good.say("427[\"echo\"]").await;
    assert_eq!(good.hear().await.unwrap(), "437[]");
}

#[tokio::test]
async fn namespaces_without_end_are_refused_without_end() {
    let server = Server::start().await;
    let mut raw = Raw::connected(&server).await;
    for number in 0..2_000 {
        raw.say(&format!("40/unknown{number}")).await;
        let told = raw.hear().await.unwrap();
        assert_eq!(
            told,
            format!("44/unknown{number},{{\"message\":\"Invalid namespace\"}}")
        );
    }
    raw.say("427[\"echo\"]").await;
    assert_eq!(raw.hear().await.unwrap(), "437[]");
}

/// What a client says is taken no faster than it takes what it is told, and none of it is lost.
#[tokio::test]
async fn a_client_that_takes_nothing_can_say_only_so_much() {
    const EVENTS: usize = 20_000;
    let server = Server::start().await;
    let raw = Raw::connected(&server).await;
    let (mut say, mut hear) = raw.socket.split();
    let (progress, mut said) = tokio::sync::watch::channel(0);
    let talking = tokio::spawn(async move {
        let filling = "x".repeat(2_000);
        for number in 1..=EVENTS {
            say.send(Message::text(format!("42{number}[\"echo\",\"{filling}\"]")))
                .await
                .unwrap();
            progress.send_replace(number);
        }
        say
    });
    // It says nothing more for a while: it cannot.
    while timeout(Duration::from_millis(500), said.changed()).await.is_ok() {}
    assert!(
        *said.borrow() < EVENTS,
        "all 40 MB were taken, and twice that is told"
    );
    let mut number = 0;
    while number < EVENTS {
        let message = timeout(DEADLINE, hear.next()).await.unwrap().unwrap().unwrap();
        let text = message.as_text().unwrap();
        if text.starts_with("43") {
            number += 1;
            assert!(text.starts_with(&format!("43{number}[")), "{}", &text[..20]);
        }
    }
    drop(talking.await.unwrap());
}

/// Any bytes at all, over many connections.
#[tokio::test]
async fn any_bytes_are_survived() {
    let server = Server::start().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/socketio_packet");
    let mut seeds: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    seeds.sort();
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..100 {
        let mut raw = Raw::open(&server).await;
        if random.u8(..4) > 0 {
            raw.say("40").await;
        }
        for _ in 0..random.usize(1..20) {
            let seed = &seeds[random.usize(..seeds.len())];
            let at = random.usize(0..=seed.len());
            let text = match seed.get(..at) {
                Some(part) if random.u8(..3) == 0 => format!("4{part}{}", seeds[random.usize(..seeds.len())]),
                _ => format!("4{seed}"),
            };
            let sent = match random.u8(..5) {
                0 => raw.send_binary(vec![random.u8(..); random.usize(..300)]).await,
                _ => raw.say(&text).await,
            };
            if !sent {
                break;
            }
        }
    }
    let mut good = Raw::connected(&server).await;
    good.say("427[\"echo\"]").await;
    assert_eq!(good.hear().await.unwrap(), "437[]");
}
