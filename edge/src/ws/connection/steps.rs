//! What a connection does about each thing that happens, and about each order of its session.

use std::sync::Arc;
use std::time::Instant;

use broker::ReadRequest;
use futures_util::FutureExt as _;
use shared::time;

use super::{Connection, Event, target};
use crate::appends::Settled;
use crate::spans;
use crate::websocket::Incoming;
use crate::ws::close::CloseCode;
use crate::ws::format::Format;
use crate::ws::gauges::TRANSPORT;
use crate::ws::reader::ReaderEvent;
use crate::ws::session::{Output, Reading, Ref};
use crate::ws::socket::SocketEvent;

impl Connection {
    pub(super) fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::Socket(SocketEvent::Came(incoming)) => self.came(incoming, now),
            Event::Socket(SocketEvent::Broken(code)) => self.session.close(code, &mut self.outputs),
            Event::Socket(SocketEvent::Flushed | SocketEvent::Lost(_)) => {}
            Event::Reader(ReaderEvent::Delivered) => self.deliver(),
            Event::Reader(ReaderEvent::Joined(outcome)) => self.session.joined(outcome, &mut self.outputs),
            Event::Published(settled) => {
                self.settle(settled);
                // Those that came with it go out in the same write.
                while let Some(settled) = self.publishes.next_settled() {
                    self.settle(settled);
                }
            }
            Event::Page(reading, page) => self.session.page_read(&reading, page, &mut self.outputs),
            Event::Drain => {
                self.draining = true;
                self.session.drain(now, &mut self.outputs);
            }
            Event::Timer => self.session.tick(now, &mut self.outputs),
        }
    }

    fn came(&mut self, incoming: Incoming, now: Instant) {
        self.read_after = self.pause(now);
        let (format, payload) = match incoming {
            Incoming::Text(payload) => (Format::Json, payload),
            Incoming::Binary(payload) => (Format::MessagePack, payload),
            Incoming::Close(_) => return self.session.close(CloseCode::Normal, &mut self.outputs),
            Incoming::Ping(_) | Incoming::Pong => return,
        };
        self.session
            .frame(format, &payload, time::now_ms, &mut self.outputs);
    }

    fn deliver(&mut self) {
        let (format, socket) = (self.format, &mut self.socket);
        self.session.deliver(&self.deliveries, |frame| {
            socket.feed_delivery(format.opcode(), &frame)
        });
        self.gauges.delivered(&self.deliveries);
        spans::deliveries(TRANSPORT, &self.deliveries);
        self.deliveries.clear();
        self.deliveries.shrink_to(IDLE_CAPACITY);
    }

    /// Hands to the log what was gathered. Whether some of it was refused at once.
    pub(super) fn begin_publishes(&mut self) -> bool {
        let refused = self.publishes.begin(target(&self.log, self.publisher.as_ref()));
        let some = refused.is_some();
        refused.into_iter().for_each(|refused| self.settle(refused));
        some
    }

    fn settle(&mut self, settled: Settled<Option<Ref>>) {
        let Self { session, outputs, .. } = self;
        settled.report(TRANSPORT, |publish, outcome| {
            session.appended(&publish, outcome, outputs)
        });
    }

    /// Does what the session has ordered; a close ends it.
    pub(super) fn carry_out(&mut self) -> Option<CloseCode> {
        // What is done may lead to further orders.
        while !self.outputs.is_empty() {
            for output in std::mem::take(&mut self.outputs) {
                match output {
                    Output::Send(frame) => self.socket.feed_reply(self.format.opcode(), &frame),
                    Output::Submit(publishing, new) => self.publishes.push(publishing, new),
                    Output::Read(reading, request) => self.read(reading, request),
                    Output::Join(joining) => self.reader.join(joining),
                    Output::Leave(stream) => self.reader.leave(&stream),
                    Output::Close(code) => return Some(code),
                }
            }
        }
        None
    }

    fn read(&mut self, reading: Reading, request: ReadRequest) {
        let log = Arc::clone(&self.log);
        let read = async move {
            let page = log.read_or_recall(&reading.stream, &request).await;
            (reading, page)
        };
        self.pages.push(read.boxed());
    }
}

/// Elements that a buffer keeps room for while nothing is in it.
const IDLE_CAPACITY: usize = 8;
