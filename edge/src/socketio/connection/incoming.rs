//! What the client sends.

use bytes::Bytes;
use shared::limits::SIO_ATTACHMENT_TIMEOUT;

use super::{Connection, Slot};
use crate::engineio::{Outbox, Piece};
use crate::socketio::application::{Answer, Application, Connect, Gone, Incoming, Socket};
use crate::socketio::assembly::{Arrived, Assembly};
use crate::socketio::emitter::{Link, Standing};
use crate::socketio::namespace::Namespace;
use crate::socketio::packet::{Head, Kind, Packet};
use crate::socketio::violation::Violation;

impl<A: Application> Connection<A> {
    /// A text message: always a packet.
    pub(super) fn text(&mut self, text: &Bytes, out: &mut Outbox) -> Result<(), Violation> {
        if self.assembly.is_some() {
            return Err(Violation::TextForAttachment);
        }
        let packet = Packet::scan(text)?;
        match packet.kind {
            Kind::Connect => self.connect(&packet, out),
            Kind::Disconnect => self.disconnect(packet.namespace),
            Kind::Event | Kind::Ack => self.arrive(packet, out),
            Kind::ConnectError => Err(Violation::WrongSide),
        }
    }

    /// A binary message: always an attachment.
    pub(super) fn binary(&mut self, bytes: Bytes, out: &mut Outbox) -> Result<(), Violation> {
        let mut assembly = self.assembly.take().ok_or(Violation::NoAttachmentAwaited)?;
        if assembly.take(bytes)? {
            self.timer = None;
            self.deliver(assembly.into_arrived(), out);
        } else {
            self.assembly = Some(assembly);
            self.start_timer(SIO_ATTACHMENT_TIMEOUT);
        }
        Ok(())
    }

    fn find(&self, namespace: &str) -> Option<&Slot<A::Socket>> {
        self.sockets
            .iter()
            .find(|slot| slot.link.namespace.as_str() == namespace)
    }

    fn has_departed(&self, namespace: &str) -> bool {
        self.departed
            .iter()
            .any(|departed| departed.as_str() == namespace)
    }

    fn connect(&mut self, packet: &Packet<'_>, out: &mut Outbox) -> Result<(), Violation> {
        if self.find(packet.namespace).is_some() {
            return Err(Violation::AlreadyConnected);
        }
        if self.draining {
            // A refusal would keep the client away; it comes back when the connection ends.
            return Ok(());
        }
        if self.sockets.len() >= self.application.limits().namespaces_max {
            self.refuse(packet.namespace, br#"{"message":"Too many namespaces"}"#, out);
            return Ok(());
        }
        let Some((namespace, socket)) = self.open(packet) else {
            self.refuse(packet.namespace, br#"{"message":"Invalid namespace"}"#, out);
            return Ok(());
        };
        self.departed.retain(|departed| *departed != namespace);
        self.sockets.reserve_exact(1);
        self.sockets.push(Slot {
            link: Link {
                namespace,
                standing: Standing::Connecting,
                closing: false,
            },
            socket,
        });
        Ok(())
    }

    fn open(&self, packet: &Packet<'_>) -> Option<(Namespace, A::Socket)> {
        let namespace = Namespace::new(packet.namespace)?;
        let socket = self.application.connect(Connect {
            namespace: &namespace,
            auth: (!packet.payload.is_empty()).then(|| packet.payload.clone()),
            handshake: &self.handshake,
        })?;
        Some((namespace, socket))
    }

    fn refuse(&mut self, namespace: &str, error: &[u8], out: &mut Outbox) {
        let head = Head {
            kind: Kind::ConnectError,
            attachments: 0,
            namespace,
            ack: None,
        };
        self.tally.unsent += head.write(&[Piece::Copied(error)], &[], out);
    }

    fn disconnect(&mut self, namespace: &str) -> Result<(), Violation> {
        let connected = |slot: &Slot<A::Socket>| {
            slot.link.namespace.as_str() == namespace && slot.link.standing == Standing::Connected
        };
        match self.sockets.iter().position(connected) {
            Some(at) => {
                let mut slot = self.sockets.remove(at);
                self.sockets.shrink_to_fit();
                slot.socket.gone(Gone::Client);
                Ok(())
            }
            None if self.has_departed(namespace) => Ok(()),
            None => Err(Violation::NotConnected),
        }
    }

    /// An event or an acknowledgement, of which the attachments may follow.
    fn arrive(&mut self, packet: Packet<'_>, out: &mut Outbox) -> Result<(), Violation> {
        let namespace = match self.find(packet.namespace) {
            Some(slot) if slot.link.standing == Standing::Connected => slot.link.namespace.clone(),
            None if self.has_departed(packet.namespace) => {
                Namespace::new(packet.namespace).ok_or(Violation::NotConnected)?
            }
            _ => return Err(Violation::NotConnected),
        };
        let bytes_max = self.application.limits().event_bytes_max;
        let bytes_left = bytes_max
            .checked_sub(packet.payload.len())
            .ok_or(Violation::TooLarge)?;
        let arrived = Arrived {
            namespace,
            ack: packet.ack,
            array: packet.payload,
            event: packet.event,
            plain: packet.plain,
            attachments: Vec::with_capacity(packet.attachments),
        };
        if packet.attachments == 0 {
            self.deliver(arrived, out);
        } else {
            self.assembly = Some(Box::new(Assembly::new(arrived, packet.attachments, bytes_left)));
            self.start_timer(SIO_ATTACHMENT_TIMEOUT);
        }
        Ok(())
    }

    fn deliver(&mut self, arrived: Arrived, out: &mut Outbox) {
        let Self { sockets, tally, .. } = self;
        let slot = sockets
            .iter_mut()
            .find(|slot| slot.link.namespace == arrived.namespace);
        let Some(slot) = slot.filter(|slot| slot.is_open()) else {
            // The client had been made to leave before it said that, or the edge stops.
            return;
        };
        let (socket, mut emitter) = slot.parts(tally, out);
        match (arrived.event, arrived.ack) {
            (Some(name), ack) => {
                let event = Incoming {
                    array: arrived.array,
                    name,
                    plain: arrived.plain,
                    attachments: arrived.attachments,
                    ack,
                };
                socket.event(event, &mut emitter);
            }
            (None, Some(id)) => {
                let answer = Answer {
                    id,
                    array: arrived.array,
                    attachments: arrived.attachments,
                };
                socket.answer(answer, &mut emitter);
            }
            // There is no acknowledgement without a number.
            (None, None) => {}
        }
    }
}
