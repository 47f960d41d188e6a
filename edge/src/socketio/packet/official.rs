//! What the official parser makes of the same packets. Whatever we take, it takes too, and reads the same in it.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use bytes::Bytes;
use serde_json::Value;

use super::{Kind, Packet};
use crate::fuzz_seeds as seeds;
use crate::socketio::violation::Violation;

/// What the official parser says of each text.
fn official(texts: &[String]) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/js");
    assert!(
        folder.join("node_modules/socket.io-parser").is_dir(),
        "this test needs Node 18 or newer and the packages of edge/tests/js: run `npm ci` in that folder"
    );
    let mut node = Command::new("node")
        .arg(folder.join("parse_packets.mjs"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test needs Node 18 or newer");
    let mut input = node.stdin.take().unwrap();
    let lines: String = texts
        .iter()
        .map(|text| serde_json::to_string(text).unwrap() + "\n")
        .collect();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()).unwrap());
    let output = BufReader::new(node.stdout.take().unwrap()).lines();
    let parsed = output
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect();
    writer.join().unwrap();
    assert!(node.wait().unwrap().success());
    parsed
}

/// The same value as JavaScript has it: every number a double, and no negative zero.
fn as_javascript(value: &mut Value) {
    match value {
        Value::Number(number) => *value = (number.as_f64().unwrap() + 0.0).into(),
        Value::Array(items) => items.iter_mut().for_each(as_javascript),
        Value::Object(members) => members.values_mut().for_each(as_javascript),
        _ => {}
    }
}

fn compare(text: &Bytes, packet: &Packet<'_>, theirs: &Value) {
    assert!(theirs.get("error").is_none(), "only we take {text:?}: {theirs}");
    let kind = match theirs["type"].as_u64() {
        Some(0) => Kind::Connect,
        Some(1) => Kind::Disconnect,
        Some(2) => Kind::Event,
        Some(3) => Kind::Ack,
        Some(4) => Kind::ConnectError,
        other => panic!("{other:?}"),
    };
    assert_eq!(packet.kind, kind, "{text:?}");
    assert_eq!(packet.namespace, theirs["nsp"], "{text:?}");
    if packet.ack.is_none_or(|id| id < 1 << 53) {
        assert_eq!(packet.ack, theirs.get("id").and_then(Value::as_u64), "{text:?}");
    }
    if let Some(name) = &packet.event {
        // Names that are odd numbers stay as they are.
        let same = theirs["name"] == *name || theirs["name"].as_str().unwrap().parse::<f64>().is_ok();
        assert!(same, "{text:?}: {name:?}, {theirs}");
    }
    // What no value can hold, it reads as something else.
    let ours = serde_json::from_slice::<Value>(&packet.payload);
    let data = theirs
        .get("data")
        .and_then(Value::as_str)
        .map(serde_json::from_str);
    if let (Ok(mut ours), Some(Ok(mut data))) = (ours, data) {
        as_javascript(&mut ours);
        as_javascript(&mut data);
        assert_eq!(ours, data, "{text:?}");
    }
}

/// Where we are more strict: it takes nothing and white space for a zero, any number of JavaScript for a number of
/// attachments, and events and acknowledgements without a payload.
fn is_more_strict(text: &str, violation: Violation, theirs: &Value) -> bool {
    match violation {
        Violation::AckId | Violation::TooDeep | Violation::Placeholder => true,
        Violation::Payload => theirs.get("data").is_none() || text.contains(char::is_whitespace),
        Violation::Type => text.trim_start().len() < text.len() || text.is_empty(),
        Violation::Attachments => {
            let number = text[1..].split('-').next().unwrap_or_default();
            !number.bytes().all(|byte| byte.is_ascii_digit())
        }
        _ => false,
    }
}

#[test]
fn the_official_parser_takes_what_we_take_and_reads_the_same() {
    let mut random = fastrand::Rng::with_seed(5);
    let seeds = seeds::read("socketio_packet");
    let mut texts = Vec::new();
    for seed in &seeds {
        texts.push(seed.clone());
        texts.extend((0..1500).map(|_| seeds::change(seed, &seeds, &mut random)));
    }
    let texts: Vec<String> = texts
        .into_iter()
        .filter_map(|text| String::from_utf8(text).ok())
        .collect();
    let theirs = official(&texts);
    assert_eq!(theirs.len(), texts.len());
    let mut taken = 0;
    for (text, theirs) in texts.iter().zip(&theirs) {
        let bytes = Bytes::from(text.clone());
        match Packet::scan(&bytes) {
            Ok(packet) => {
                compare(&bytes, &packet, theirs);
                taken += 1;
            }
            Err(violation) => {
                let strict = theirs.get("error").is_some() || is_more_strict(text, violation, theirs);
                assert!(strict, "{violation} only for us: {text:?}: {theirs}");
            }
        }
    }
    assert!(
        taken > texts.len() / 10,
        "only {taken} of {} were taken",
        texts.len()
    );
}
