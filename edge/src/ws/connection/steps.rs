//! What a connection does about each thing that happens, and about each order of its session.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use broker::{AppendError, Appended, NewEvent, ReadRequest, Receipt};
use futures_util::{FutureExt as _, StreamExt as _};
use shared::time;

use super::{Connection, Event};
use crate::appends::{self, Ack};
use crate::error::ApiError;
use crate::spans::{self, Published};
use crate::websocket::Incoming;
use crate::ws::close::CloseCode;
use crate::ws::format::Format;
use crate::ws::gauges::TRANSPORT;
use crate::ws::reader::ReaderEvent;
use crate::ws::session::{Output, Publishing, Reading};
use crate::ws::socket::SocketEvent;

impl Connection {
    pub(super) fn handle(&mut self, event: Event) {
        let now = Instant::now();
        match event {
            Event::Socket(SocketEvent::Came(incoming)) => self.came(incoming, now),
            Event::Socket(SocketEvent::Broken(code)) => self.session.close(code, &mut self.outputs),
            Event::Socket(SocketEvent::Flushed | SocketEvent::Lost(_)) => {}
            Event::Reader(ReaderEvent::Delivered) => self.deliver(),
            Event::Reader(ReaderEvent::Joined(outcome)) => self.session.joined(outcome, &mut self.outputs),
            Event::Submitted(publishing, receipt) => {
                self.submitting = None;
                self.submitted(publishing, receipt);
            }
            Event::Acknowledged(publishing, outcome) => {
                self.acknowledge(&publishing, outcome);
                // Those that are there already go out in the same write.
                while let Some(Some((publishing, outcome))) = self.acks.next().now_or_never() {
                    self.acknowledge(&publishing, outcome);
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
            .frame(format, &payload, time::now_ms(), &mut self.outputs);
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

    fn acknowledge(&mut self, publishing: &Publishing, outcome: Result<Appended, AppendError>) {
        let outcome = outcome.map_err(ApiError::from);
        let published = Published {
            transport: TRANSPORT,
            stream: &publishing.stream,
            trace: publishing.trace,
            parent: publishing.parent,
            begun: publishing.begun,
        };
        appends::report(&published, &outcome);
        self.session.appended(publishing, outcome, &mut self.outputs);
    }

    /// Does what the session has ordered; a close ends it.
    pub(super) fn carry_out(&mut self) -> Option<CloseCode> {
        // What is done may lead to further orders.
        while !self.outputs.is_empty() {
            for output in std::mem::take(&mut self.outputs) {
                match output {
                    Output::Send(frame) => self.socket.feed_reply(self.format.opcode(), &frame),
                    Output::Submit(publishing, new) => self.submit(publishing, new),
                    Output::Read(reading, request) => self.read(reading, request),
                    Output::Join(joining) => self.reader.join(joining),
                    Output::Leave(stream) => self.reader.leave(&stream),
                    Output::Close(code) => return Some(code),
                }
            }
        }
        None
    }

    fn submit(&mut self, mut publishing: Publishing, new: NewEvent) {
        publishing.begun = spans::now_if_wanted(publishing.trace);
        let (log, publisher) = (Arc::clone(&self.log), self.publisher.clone());
        let stream = publishing.stream.clone();
        let mut submit = appends::submit(log, publisher, stream, publishing, new);
        // Mostly there is room at once, and then the next message can be read. If not, it is waited for.
        match submit.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready((publishing, receipt)) => self.submitted(publishing, receipt),
            Poll::Pending => self.submitting = Some(submit),
        }
    }

    fn submitted(&mut self, publishing: Publishing, receipt: Result<Receipt, AppendError>) {
        match receipt {
            Ok(receipt) => self.acks.push(Ack::new(publishing, receipt)),
            Err(error) => self.acknowledge(&publishing, Err(error)),
        }
    }

    fn read(&mut self, reading: Reading, request: ReadRequest) {
        let log = Arc::clone(&self.log);
        let read = async move {
            let page = log.read(&reading.stream, &request).await;
            (reading, page)
        };
        self.pages.push(read.boxed());
    }
}

/// Elements that a buffer keeps room for while nothing is in it.
const IDLE_CAPACITY: usize = 8;
