//! What a socket of `socket.io-client` keeps beyond one connection, and what it does with each packet. No I/O.
//!
//! * While it has a `pid`, it keeps the last argument of each event that it hands on, if that is a string: that is the
//!   offset that it comes back with. It keeps the offset also when it gets another `pid`.
//! * Events that come before CONNECT wait in a buffer, which is handed on with CONNECT, whichever that is: also if the
//!   connection ended in between and the server sends the same events again.
//! * What is emitted before CONNECT waits too. An acknowledgement that has not come when the connection ends never does.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::engine::Message;
use super::packet::{Kind, Packet, last_string};
use super::{Event, Reason, Received};

#[cfg(test)]
mod tests;

#[derive(Debug, Default)]
pub(super) struct Session {
    namespace: Bytes,
    auth: Option<Map<String, Value>>,
    pid: Option<String>,
    offset: Option<String>,
    id: Option<String>,
    /// Whether it takes packets: not once the server has made it leave.
    pub(super) active: bool,
    early: Vec<Packet>,
    unsent: VecDeque<Packet>,
    unacknowledged: BTreeSet<u64>,
    acks: u64,
}

/// What CONNECT brings.
#[derive(Deserialize)]
struct Accepted {
    sid: String,
    pid: Option<String>,
}

#[derive(Deserialize)]
struct Refused {
    message: String,
    data: Option<Value>,
}

impl Session {
    pub(super) fn new(namespace: &str, auth: Option<Map<String, Value>>) -> Self {
        Self {
            namespace: Bytes::copy_from_slice(namespace.as_bytes()),
            auth,
            active: true,
            ..Self::default()
        }
    }

    pub(super) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    pub(super) fn offset(&self) -> Option<&str> {
        self.offset.as_deref()
    }

    pub(super) fn is_connected(&self) -> bool {
        self.id.is_some()
    }

    /// A packet of its own.
    fn packet(&self, kind: Kind, json: Bytes) -> Packet {
        Packet {
            kind,
            namespace: self.namespace.clone(),
            id: None,
            json,
            attachments: Vec::new(),
        }
    }

    /// Engine.IO stands: asks to be let in.
    pub(super) fn opened(&self) -> Vec<Message> {
        let mut auth = Map::new();
        if let Some(pid) = &self.pid {
            auth.insert("pid".to_owned(), pid.clone().into());
            auth.extend(
                self.offset
                    .clone()
                    .map(|offset| ("offset".to_owned(), offset.into())),
            );
        }
        auth.extend(self.auth.clone().unwrap_or_default());
        let json = if self.pid.is_none() && self.auth.is_none() {
            Bytes::new()
        } else {
            Value::Object(auth).to_string().into()
        };
        self.packet(Kind::Connect, json).encode()
    }

    /// Emits. `connected`: whether that goes out at once. Returns what is to be sent, and the acknowledgement's number.
    pub(super) fn emit(
        &mut self,
        array: Bytes,
        attachments: Vec<Bytes>,
        acknowledge: bool,
        connected: bool,
    ) -> (Vec<Message>, Option<u64>) {
        let id = acknowledge.then(|| {
            let id = self.acks;
            self.acks += 1;
            self.unacknowledged.insert(id);
            id
        });
        let packet = Packet {
            id,
            attachments,
            ..self.packet(Kind::Event, array)
        };
        if connected && self.is_connected() {
            return (packet.encode(), id);
        }
        self.unsent.push_back(packet);
        (Vec::new(), id)
    }

    /// Acknowledges an event of the server.
    pub(super) fn acknowledge(&self, id: u64, array: Bytes) -> Vec<Message> {
        let packet = Packet {
            id: Some(id),
            ..self.packet(Kind::Ack, array)
        };
        packet.encode()
    }

    /// Says that it leaves for good.
    pub(super) fn leave(&mut self) -> Vec<Message> {
        self.active = false;
        if self.is_connected() {
            self.packet(Kind::Disconnect, Bytes::new()).encode()
        } else {
            Vec::new()
        }
    }

    /// The connection has ended.
    pub(super) fn closed(&mut self, reason: Reason, events: &mut VecDeque<Event>) {
        self.id = None;
        let buffered: BTreeSet<u64> = self.unsent.iter().filter_map(|packet| packet.id).collect();
        self.unacknowledged.retain(|id| buffered.contains(id));
        events.push_back(Event::Disconnected { reason });
    }

    /// Takes a packet; returns what is to be sent.
    pub(super) fn take(&mut self, packet: Packet, events: &mut VecDeque<Event>) -> Vec<Message> {
        if !self.active || packet.namespace != self.namespace {
            return Vec::new();
        }
        match packet.kind {
            Kind::Connect => return self.accepted(&packet.json, events),
            Kind::Event if self.is_connected() => self.hand_on(packet, events),
            Kind::Event => self.early.push(packet),
            Kind::Ack => {
                if let Some(id) = packet.id.filter(|id| self.unacknowledged.remove(id)) {
                    events.push_back(Event::Acknowledged {
                        id,
                        arguments: Received::of(packet),
                    });
                }
            }
            Kind::Disconnect => {
                self.active = false;
                self.closed(Reason::Server, events);
            }
            Kind::ConnectError => {
                self.active = false;
                let refused: Option<Refused> = serde_json::from_slice(&packet.json).ok();
                events.push_back(Event::Refused {
                    message: refused
                        .as_ref()
                        .map_or_else(String::new, |refused| refused.message.clone()),
                    data: refused.and_then(|refused| refused.data),
                });
            }
        }
        Vec::new()
    }

    fn accepted(&mut self, json: &[u8], events: &mut VecDeque<Event>) -> Vec<Message> {
        let Ok(Accepted { sid, pid }) = serde_json::from_slice::<Accepted>(json) else {
            events.push_back(Event::ConnectError {
                error: "a CONNECT without sid".to_owned(),
            });
            return Vec::new();
        };
        let recovered = pid.is_some() && pid == self.pid;
        self.id = Some(sid.clone());
        self.pid = pid;
        for packet in std::mem::take(&mut self.early) {
            self.hand_on(packet, events);
        }
        events.push_back(Event::Connected { id: sid, recovered });
        std::mem::take(&mut self.unsent)
            .iter()
            .flat_map(Packet::encode)
            .collect()
    }

    fn hand_on(&mut self, packet: Packet, events: &mut VecDeque<Event>) {
        // The last argument of an event that asks for an acknowledgement is the function for it.
        if self.pid.is_some() && packet.id.is_none() {
            self.offset = last_string(&packet.json).or(self.offset.take());
        }
        events.push_back(Event::Received(Received::of(packet)));
    }
}
