//! What the fuzzers of `edge/fuzz` run, and what the tests run over their seeds: any bytes, and what must hold
//! whatever they are.

mod application;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use shared::limits::SIO_UNSENT_BYTES_MAX;

use super::connection::Connection;
use super::packet::{Head, Kind, Packet};
use crate::engineio::{Ended, Message, Outbox, Protocol as _};
use application::Echo;

/// Reads `bytes` as a packet. One that is taken says the same when it is written again.
pub fn packet(bytes: &[u8]) {
    let text = Bytes::copy_from_slice(bytes);
    let Ok(packet) = Packet::scan(&text) else {
        return;
    };
    let head = Head {
        kind: packet.kind,
        attachments: packet.attachments,
        namespace: packet.namespace,
        ack: packet.ack,
    };
    let again = head.text(&packet.payload);
    let mut read_again = Packet::scan(&again);
    if let Ok(read_again) = &mut read_again {
        // White space behind it hides from a glance what it is.
        read_again.plain.clone_from(&packet.plain);
    }
    assert_eq!(read_again.as_ref(), Ok(&packet), "written as {again:?}");
    if packet.plain.is_some() {
        // It has the scanner look, which must find the same.
        let looked = Bytes::from([bytes, b" "].concat());
        let looked = Packet::scan(&looked).map(|looked| (looked.payload, looked.event));
        assert_eq!(looked, Ok((packet.payload.clone(), packet.event.clone())));
    }
    for element in super::elements(&packet.payload) {
        assert!(!element.is_empty(), "elements of {:?}", packet.payload);
    }
}

/// Lets a client of an application that echoes do what the lines of `bytes` say. The first byte of a line says what:
/// `b` sends the rest as binary, `p` lets the connection go on while the client takes nothing, `w` when it has taken
/// everything, `d` drains; all others send the line behind its first byte as text.
pub fn connection(bytes: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let runtime = runtime.expect("a runtime of one thread opens nothing that could be missing");
    let _entered = runtime.enter();
    let mut client = Client {
        connection: Connection::new(Arc::new(Echo), ()),
        out: Outbox::default(),
        within: HashSet::new(),
        sent: 0,
    };
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some((order, rest)) = line.split_first() else {
            continue;
        };
        match order {
            b'b' => client.send(Message::Binary(Bytes::copy_from_slice(rest))),
            b'p' => client.poll(false),
            b'w' => client.poll(true),
            b'd' => client.connection.drain(&mut client.out),
            _ => {
                let text = String::from_utf8_lossy(rest).into_owned();
                client.send(Message::Text(Bytes::from(text)));
            }
        }
    }
    client.take();
    client.connection.ended(Ended::Lost);
}

struct Client {
    connection: Connection<Echo>,
    out: Outbox,
    /// The namespaces that it was let into.
    within: HashSet<String>,
    /// Bytes that it sent since it took everything.
    sent: usize,
}

impl Client {
    /// Sends a message, if the connection is read.
    fn send(&mut self, message: Message) {
        if self.connection.wants_message() {
            let (Message::Text(bytes) | Message::Binary(bytes)) = &message;
            self.sent += bytes.len();
            self.connection.message(message, &mut self.out);
        }
    }

    fn poll(&mut self, writable: bool) {
        if writable {
            self.take();
        }
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..100 {
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

    /// Takes what it is told, which must be well-formed, in its place, and bounded.
    fn take(&mut self) {
        let mut told = self.out.take().into_iter();
        let mut bytes = 0;
        while let Some(message) = told.next() {
            let Message::Text(text) = message else {
                panic!("binary that belongs to no packet: {message:?}");
            };
            bytes += text.len();
            let packet = Packet::scan(&text).unwrap_or_else(|violation| panic!("{violation}: {text:?}"));
            for _ in 0..packet.attachments {
                match told.next() {
                    Some(Message::Binary(attachment)) => bytes += attachment.len(),
                    other => panic!("{text:?} lacks an attachment, {other:?} follows"),
                }
            }
            self.check_place(&packet);
        }
        // An echo is no longer than what it answers, but for a few words.
        let bound = SIO_UNSENT_BYTES_MAX + 2 * self.sent + 1000;
        assert!(
            bytes <= bound,
            "{bytes} bytes wait for a client that sent {}",
            self.sent
        );
        self.sent = 0;
    }

    fn check_place(&mut self, packet: &Packet<'_>) {
        let namespace = packet.namespace;
        let fine = match packet.kind {
            // It may have left by itself before, which nobody tells it.
            Kind::Connect => {
                self.within.insert(namespace.to_owned());
                true
            }
            Kind::Event | Kind::Ack => self.within.contains(namespace),
            Kind::Disconnect => self.within.remove(namespace),
            Kind::ConnectError => true,
        };
        assert!(fine, "{packet:?} to a client that is in {:?}", self.within);
    }
}
