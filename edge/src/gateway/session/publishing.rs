//! Publishes and pages: they go beside everything else, bounded in number.

use broker::{Appended, EphemeralError, NewEvent, Page, ReadError, ReadRequest};
use shared::limits::SIO_PAGE_BYTES_MAX;
use shared::{StreamName, Text};
use tracing::debug;

use super::following::Announcement;
use super::{Order, Phase, Publishing, Reading, Session};
use crate::error::ApiError;
use crate::gateway::answer;
use crate::page::bound;
use crate::socketio::AckId;

impl Session {
    /// Appends an event, or sends it around the log. Without `echo` it names the session that it comes from.
    pub(super) fn publish(
        &mut self,
        stream: StreamName,
        mut new: NewEvent,
        ephemeral: bool,
        echo: bool,
        ack: Option<AckId>,
        out: &mut Vec<Order>,
    ) {
        let trace = self.trace.own.child(self.random.u64(..));
        new.event.trace = self.trace.received.map(|_| trace.to_text());
        new.event.session = (!echo).then(|| Text::from(&*self.sid));
        if ephemeral {
            return out.push(Order::Send(stream, new.event, ack));
        }
        let bytes = new.event.size_bytes();
        self.publishes += 1;
        self.publish_bytes += bytes;
        let publishing = Publishing {
            stream,
            trace,
            parent: self.trace.own.parent_id,
            bytes,
            reference: ack,
        };
        out.push(Order::Submit(publishing, new));
    }

    /// Tells those who follow a stream that this client does now.
    pub(super) fn announce(&mut self, stream: StreamName, announcement: &Announcement, out: &mut Vec<Order>) {
        let Announcement {
            event,
            ephemeral,
            echo,
        } = announcement;
        self.publish(stream, NewEvent::new(event.clone()), *ephemeral, *echo, None, out);
    }

    /// A publish has its outcome.
    pub(crate) fn appended(
        &mut self,
        publishing: &Publishing,
        outcome: &Result<Appended, ApiError>,
        out: &mut Vec<Order>,
    ) {
        self.publishes = self.publishes.saturating_sub(1);
        self.publish_bytes = self.publish_bytes.saturating_sub(publishing.bytes);
        let array = || match outcome {
            Ok(appended) => answer::published(appended),
            Err(problem) => answer::error(problem),
        };
        self.answer(publishing.reference, array, out);
        self.close_if_drained(out);
    }

    /// An event was sent around the log, or not.
    pub(crate) fn sent(
        &mut self,
        ack: Option<AckId>,
        outcome: Result<(), EphemeralError>,
        out: &mut Vec<Order>,
    ) {
        let array = || match outcome {
            Ok(()) => answer::done(),
            Err(problem) => answer::error(&problem.into()),
        };
        self.answer(ack, array, out);
    }

    /// Reads a page. Nobody would get it without an acknowledgement.
    pub(super) fn read(
        &mut self,
        stream: StreamName,
        request: ReadRequest,
        ack: Option<AckId>,
        out: &mut Vec<Order>,
    ) {
        let Some(ack) = ack else {
            return debug!("history without an acknowledgement");
        };
        self.pages += 1;
        let backward = matches!(request.direction, broker::Direction::Backward { .. });
        let reading = Reading {
            stream,
            backward,
            ack,
        };
        out.push(Order::Read(reading, request));
    }

    /// A page was read.
    pub(crate) fn page_read(
        &mut self,
        reading: &Reading,
        outcome: Result<Page, ReadError>,
        out: &mut Vec<Order>,
    ) {
        self.pages = self.pages.saturating_sub(1);
        if self.phase != Phase::Closed {
            let array = match outcome {
                Ok(mut page) => {
                    bound(&mut page, SIO_PAGE_BYTES_MAX, reading.backward);
                    answer::history(&page)
                }
                Err(problem) => answer::error(&problem.into()),
            };
            out.push(Order::Ack(reading.ack, array));
        }
        self.close_if_drained(out);
    }
}
