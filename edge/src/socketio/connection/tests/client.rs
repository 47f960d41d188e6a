//! A client of a [`Connection`], and an application that does what the test says.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::super::Connection;
use crate::engineio::{Ended, Message, Opened, Outbox, Protocol};
use crate::socketio::{Answer, Application, Connect, Emitter, Gone, Incoming, Limits, Namespace, Socket};

/// What a socket is told to do in its next `poll`.
#[derive(Debug, Clone)]
pub(super) enum Order {
    Accept,
    AcceptAs(&'static str, &'static str),
    Refuse(&'static str, Option<&'static str>),
    Emit(Vec<&'static str>, Vec<&'static [u8]>),
    EmitWithAck(&'static str),
    Disconnect,
    Close,
}

/// What the application saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    Connect(String, Option<String>),
    Event(String, Incoming),
    Answer(String, Answer),
    Issued(u64),
    Writable(String),
    Drain(String),
    Gone(String, Gone),
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) seen: Vec<Seen>,
    pub(super) orders: Vec<(&'static str, Order)>,
    /// What events are acknowledged with; nothing: they are not.
    pub(super) acks: VecDeque<&'static str>,
    pub(super) wants_no_event: Vec<&'static str>,
    /// Which sockets emit something whenever they may.
    pub(super) streams: Vec<&'static str>,
}

#[derive(Debug)]
pub(super) struct Script {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) limits: Limits,
}

impl Application for Script {
    type Socket = ScriptSocket;
    type Handshake = String;

    fn handshake(&self, opened: &Opened<'_>) -> String {
        opened.query.to_owned()
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn connect(&self, connect: Connect<'_, String>) -> Option<ScriptSocket> {
        assert_eq!(connect.handshake, "EIO=4");
        if connect.namespace.as_str() == "/unknown" {
            return None;
        }
        let socket = ScriptSocket {
            namespace: connect.namespace.clone(),
            state: Arc::clone(&self.state),
        };
        let auth = connect.auth.map(|auth| String::from_utf8(auth.to_vec()).unwrap());
        socket.see(Seen::Connect(socket.name(), auth));
        Some(socket)
    }
}

#[derive(Debug)]
pub(super) struct ScriptSocket {
    namespace: Namespace,
    state: Arc<Mutex<State>>,
}

impl ScriptSocket {
    fn name(&self) -> String {
        self.namespace.as_str().to_owned()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn see(&self, seen: Seen) {
        self.state().seen.push(seen);
    }

    fn next_order(&self) -> Option<Order> {
        let mut state = self.state();
        let at = state
            .orders
            .iter()
            .position(|(namespace, _)| *namespace == self.namespace.as_str())?;
        Some(state.orders.remove(at).1)
    }

    fn carry_out(&self, order: Order, out: &mut Emitter<'_>) {
        match order {
            Order::Accept => out.accept("s", None),
            Order::AcceptAs(sid, pid) => out.accept(sid, Some(pid)),
            Order::Refuse(message, data) => out.refuse(message, data.map(str::as_bytes)),
            Order::Emit(parts, attachments) => {
                let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
                let attachments: Vec<Bytes> = attachments.into_iter().map(Bytes::from_static).collect();
                out.emit(&parts, &attachments);
            }
            Order::EmitWithAck(array) => {
                if let Some(id) = out.emit_with_ack(&[array.as_bytes()], &[]) {
                    self.see(Seen::Issued(id));
                }
            }
            Order::Disconnect => out.disconnect(),
            Order::Close => out.close(),
        }
    }
}

impl Socket for ScriptSocket {
    fn wants_event(&self) -> bool {
        !self.state().wants_no_event.contains(&self.namespace.as_str())
    }

    fn event(&mut self, event: Incoming, out: &mut Emitter<'_>) {
        let id = event.ack;
        let attachments = event.attachments.clone();
        self.see(Seen::Event(self.name(), event));
        let ack = self.state().acks.pop_front();
        if let (Some(id), Some(ack)) = (id, ack) {
            assert!(out.ack(id, &[ack.as_bytes()], &attachments));
        }
    }

    fn answer(&mut self, answer: Answer, _out: &mut Emitter<'_>) {
        self.see(Seen::Answer(self.name(), answer));
    }

    fn poll(&mut self, _cx: &mut Context<'_>, writable: bool, out: &mut Emitter<'_>) -> Poll<()> {
        while let Some(order) = self.next_order() {
            self.carry_out(order, out);
        }
        let streams = self.state().streams.contains(&self.namespace.as_str());
        if writable && streams {
            self.see(Seen::Writable(self.name()));
            out.emit(&[b"[\"streamed\"]"], &[]);
        }
        Poll::Pending
    }

    fn drain(&mut self, _out: &mut Emitter<'_>) {
        self.see(Seen::Drain(self.name()));
    }

    fn gone(&mut self, reason: Gone) {
        self.see(Seen::Gone(self.name(), reason));
    }
}

/// The other end of a connection.
pub(super) struct Client {
    pub(super) connection: Connection<Script>,
    pub(super) out: Outbox,
    state: Arc<Mutex<State>>,
}

impl Client {
    pub(super) fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    pub(super) fn with_limits(limits: Limits) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let script = Script {
            state: Arc::clone(&state),
            limits,
        };
        Self {
            connection: Connection::new(Arc::new(script), "EIO=4".to_owned()),
            out: Outbox::default(),
            state,
        }
    }

    /// A client that is in these namespaces.
    pub(super) fn within(namespaces: &[&'static str]) -> Self {
        let mut client = Self::new();
        for namespace in namespaces {
            client.send(&format!("0{namespace},"));
            client.order(namespace, Order::Accept);
        }
        assert_eq!(client.poll().len(), namespaces.len());
        client.seen();
        client
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn order(&self, namespace: &'static str, order: Order) {
        self.state().orders.push((namespace, order));
    }

    /// What the application saw since it was asked last.
    pub(super) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.state().seen)
    }

    pub(super) fn send(&mut self, text: &str) {
        let message = Message::Text(Bytes::from(text.to_owned()));
        self.connection.message(message, &mut self.out);
    }

    pub(super) fn send_binary(&mut self, bytes: &'static [u8]) {
        let message = Message::Binary(Bytes::from_static(bytes));
        self.connection.message(message, &mut self.out);
    }

    /// What it is told: texts as they are, binary in hexadecimal behind a `b`.
    pub(super) fn told(&mut self) -> Vec<String> {
        let told = self.out.take().into_iter().map(|message| match message {
            Message::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
            Message::Binary(bytes) => {
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("b{hex}")
            }
        });
        told.collect()
    }

    /// Lets the connection go on, with everything handed on; returns what the client is told then.
    pub(super) fn poll(&mut self) -> Vec<String> {
        self.poll_as(true);
        self.told()
    }

    /// `writable`: what was said before this is on its way.
    pub(super) fn poll_as(&mut self, mut writable: bool) {
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..100 {
            writable &= self.out.is_empty();
            if self
                .connection
                .poll(&mut cx, writable, &mut self.out)
                .is_pending()
            {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    pub(super) fn end(&mut self) {
        self.connection.ended(Ended::Lost);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.out.is_closing()
    }
}
