//! What the official client does, oddities included, step by step.

#![allow(clippy::unwrap_used)]

use super::*;

struct Socket {
    session: Session,
    events: VecDeque<Event>,
}

impl Socket {
    fn new() -> Self {
        Self {
            session: Session::new("/", None),
            events: VecDeque::new(),
        }
    }

    fn take(&mut self, kind: Kind, id: Option<u64>, json: &'static str) -> Vec<Message> {
        let packet = Packet {
            id,
            ..self.session.packet(kind, json.into())
        };
        self.session.take(packet, &mut self.events)
    }

    fn event(&mut self, json: &'static str) {
        assert_eq!(self.take(Kind::Event, None, json), []);
    }

    fn connect(&mut self, json: &'static str) -> Vec<Message> {
        self.take(Kind::Connect, None, json)
    }

    fn close(&mut self) {
        self.session.closed(Reason::PingTimeout, &mut self.events);
    }

    /// What happened since the last call, in a few letters: the arrays of events, `+` for recovered, `-` for fresh, `x`.
    fn happened(&mut self) -> String {
        let letters = |event| match event {
            Event::Connected { recovered: true, .. } => "+".to_owned(),
            Event::Connected { recovered: false, .. } => "-".to_owned(),
            Event::Disconnected { .. } => "x".to_owned(),
            Event::Received(received) => String::from_utf8_lossy(&received.array).into_owned(),
            Event::Acknowledged { id, arguments } => {
                format!("{id}{}", String::from_utf8_lossy(&arguments.array))
            }
            Event::Refused { message, .. } => format!("no: {message}"),
            Event::ConnectError { error } => error,
        };
        self.events.drain(..).map(letters).collect::<Vec<_>>().join(" ")
    }

    fn asks(&self) -> String {
        match self.session.opened().as_slice() {
            [Message::Text(text)] => String::from_utf8_lossy(text).into_owned(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_offset_is_the_last_argument_if_that_is_a_string() {
    let mut socket = Socket::new();
    assert_eq!(socket.asks(), "0");
    socket.connect(r#"{"sid":"s","pid":"p"}"#);
    assert_eq!(socket.asks(), r#"0{"pid":"p"}"#);
    socket.event(r#"["e",1,"o1"]"#);
    assert_eq!(socket.asks(), r#"0{"pid":"p","offset":"o1"}"#);
    socket.event(r#"["e",{"a":"o2"}]"#);
    assert_eq!(socket.asks(), r#"0{"pid":"p","offset":"o1"}"#);
    // The name counts too if there is nothing else; what asks for an acknowledgement ends with a function.
    socket.event(r#"["e"]"#);
    assert_eq!(socket.session.offset(), Some("e"));
    socket.take(Kind::Event, Some(1), r#"["e","o3"]"#);
    assert_eq!(socket.session.offset(), Some("e"));
}

#[test]
fn without_a_pid_nothing_is_kept() {
    let mut socket = Socket::new();
    socket.connect(r#"{"sid":"s"}"#);
    socket.event(r#"["e","o1"]"#);
    assert_eq!((socket.asks().as_str(), socket.session.offset()), ("0", None));
    socket.close();
    socket.connect(r#"{"sid":"s"}"#);
    assert_eq!(socket.happened(), r#"- ["e","o1"] x -"#);
}

#[test]
fn recovered_is_who_gets_the_same_pid_and_the_offset_outlives_the_pid() {
    let mut socket = Socket::new();
    socket.connect(r#"{"sid":"s","pid":"p"}"#);
    socket.event(r#"["e","o1"]"#);
    socket.close();
    assert_eq!(socket.session.id(), None);
    socket.connect(r#"{"sid":"s","pid":"p"}"#);
    socket.close();
    socket.connect(r#"{"sid":"t","pid":"q"}"#);
    assert_eq!(socket.happened(), r#"- ["e","o1"] x + x -"#);
    assert_eq!(socket.asks(), r#"0{"pid":"q","offset":"o1"}"#);
}

#[test]
fn its_own_auth_wins() {
    let auth = serde_json::json!({"offset": "mine", "token": 1});
    let session = Session::new("/a", auth.as_object().cloned());
    let mut socket = Socket {
        session,
        events: VecDeque::new(),
    };
    assert_eq!(socket.asks(), r#"0/a,{"offset":"mine","token":1}"#);
    socket.connect(r#"{"sid":"s","pid":"p"}"#);
    socket.event(r#"["e","o1"]"#);
    assert_eq!(socket.asks(), r#"0/a,{"pid":"p","offset":"mine","token":1}"#);
}

#[test]
fn events_before_connect_wait_for_it_and_outlive_the_connection() {
    let mut socket = Socket::new();
    socket.connect(r#"{"sid":"s","pid":"p"}"#);
    socket.close();
    socket.event(r#"["e","o1"]"#);
    assert_eq!(socket.session.offset(), None);
    socket.close();
    socket.event(r#"["e","o1"]"#);
    socket.connect(r#"{"sid":"s","pid":"p"}"#);
    assert_eq!(socket.happened(), r#"- x x ["e","o1"] ["e","o1"] +"#);
    assert_eq!(socket.session.offset(), Some("o1"));
}

#[test]
fn what_is_emitted_before_connect_is_sent_with_it() {
    let mut socket = Socket::new();
    let (sent, id) = socket.session.emit(r#"["a"]"#.into(), Vec::new(), true, true);
    assert_eq!((sent, id), (Vec::new(), Some(0)));
    assert_eq!(
        socket.connect(r#"{"sid":"s"}"#),
        [Message::Text(r#"20["a"]"#.into())]
    );
    let (sent, id) = socket.session.emit(r#"["b"]"#.into(), Vec::new(), true, true);
    assert_eq!((sent, id), (vec![Message::Text(r#"21["b"]"#.into())], Some(1)));
    // The server should have pinged by now: it waits for the next connection.
    let (sent, id) = socket.session.emit(r#"["c"]"#.into(), Vec::new(), true, false);
    assert_eq!((sent, id), (Vec::new(), Some(2)));
    socket.close();
    assert_eq!(
        socket.connect(r#"{"sid":"s"}"#),
        [Message::Text(r#"22["c"]"#.into())]
    );
    socket.happened();
    for id in [0, 1, 2, 2] {
        socket.take(Kind::Ack, Some(id), "[7]");
    }
    assert_eq!(
        socket.happened(),
        "2[7]",
        "what was not answered when the connection ended never is"
    );
}

#[test]
fn a_server_that_sends_it_away_or_refuses_it_is_not_heard_any_more() {
    for (kind, json, told) in [
        (Kind::Disconnect, "", "- x"),
        (Kind::ConnectError, r#"{"message":"m"}"#, "- no: m"),
    ] {
        let mut socket = Socket::new();
        socket.connect(r#"{"sid":"s"}"#);
        socket.take(kind, None, json);
        socket.event(r#"["e"]"#);
        assert_eq!(socket.happened(), told);
        assert!(!socket.session.active);
    }
}

#[test]
fn other_namespaces_are_not_its_concern() {
    let mut socket = Socket::new();
    let packet = Packet {
        namespace: "/other".into(),
        ..socket.session.packet(Kind::Connect, r#"{"sid":"s"}"#.into())
    };
    socket.session.take(packet, &mut socket.events);
    assert_eq!(socket.happened(), "");
}
