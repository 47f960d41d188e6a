//! What a socket does about each order of its session, and about each answer of the log.

use std::sync::Arc;
use std::task::{Context, Poll};

use broker::ReadRequest;
use futures_util::FutureExt as _;
use tracing::debug;

use super::Socket;
use super::under_way::{Answered, UnderWay};
use crate::appends::Target;
use crate::gateway::gauges::TRANSPORT;
use crate::gateway::session::{Now, Order, Reading};
use crate::socketio::Emitter;

impl Socket {
    /// Takes the answers that are there; whether there were any.
    pub(super) fn poll_calls(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while let Some(calls) = &mut self.under_way {
            let target = Target {
                log: &self.edge.log,
                publisher: self.publisher.map(|client| (&*self.edge.rate, client)),
            };
            let Poll::Ready(answered) = calls.poll_answer(cx, target) else {
                break;
            };
            self.answered(answered);
            progress = true;
        }
        if self.under_way.as_ref().is_some_and(|calls| calls.is_empty()) {
            self.under_way = None;
        }
        if let (Poll::Ready(joined), Some(session)) = (self.reader.poll_joined(cx), &mut self.session) {
            session.joined(joined, Now::get(), &mut self.orders);
            progress = true;
        }
        progress
    }

    fn answered(&mut self, answered: Answered) {
        let Some(session) = &mut self.session else { return };
        let (now, orders) = (Now::get(), &mut self.orders);
        match answered {
            Answered::TakenOver(outcome) => session.taken(outcome, now, orders),
            Answered::Created(outcome) => session.created(outcome, now, orders),
            Answered::Saved(outcome) => session.saved(outcome, now, orders),
            Answered::Touched(outcome) => session.touched(outcome, now),
            Answered::Published(settled) => settled.report(TRANSPORT, |publish, outcome| {
                session.appended(&publish, &outcome, orders);
            }),
            Answered::Page(reading, page) => session.page_read(&reading, page, orders),
        }
    }

    /// Does what the session has ordered. What is done may lead to further orders.
    pub(super) fn carry_out(&mut self, out: &mut Emitter<'_>) {
        while !self.orders.is_empty() {
            for order in std::mem::take(&mut self.orders) {
                self.do_order(order, out);
            }
        }
        let followed = self.session.as_ref().map_or(0, |session| session.subscriptions());
        self.gauges.subscriptions(followed);
    }

    fn do_order(&mut self, order: Order, out: &mut Emitter<'_>) {
        let Some(session) = &mut self.session else { return };
        let sessions = self.edge.log.sessions();
        match order {
            Order::Accept(arrival) => {
                let rules = session.rules();
                debug!(
                    sid = session.sid(),
                    namespace = session.namespace(),
                    trace = %session.trace().id(),
                    ?arrival,
                    subscriptions = session.subscriptions(),
                    "socket connected"
                );
                out.accept(session.sid(), session.pid().map(shared::SessionId::as_str));
                self.gauges.arrived(&rules.label, arrival);
            }
            Order::Refuse(message, data) => out.refuse(&message, Some(&data)),
            Order::TakeOver(pid) => {
                let call = sessions.take_over(&pid, session.record_ttl());
                self.calls().take_over = Some(call);
            }
            Order::Create(pid, record) => {
                let call = sessions.create(&pid, record, session.record_ttl());
                self.calls().create = Some(call);
            }
            Order::Save(pid, generation, record) => {
                let call = sessions.save(&pid, generation, record, session.record_ttl());
                self.calls().save = Some(call);
            }
            Order::Touch(pid) => {
                let call = sessions.touch(&pid, session.record_ttl());
                self.calls().touch = Some(call);
            }
            Order::Join(wanted) => {
                let streams_max = self.edge.subscriptions_max;
                self.reader.join(&self.edge.log, streams_max, wanted);
            }
            Order::Leave(stream) => self.reader.leave(&stream),
            Order::Submit(publishing, new) => self.calls().publishes.push(publishing, new),
            Order::Send(stream, event, ack) => {
                let outcome = self.edge.log.send_ephemeral(&stream, event);
                session.sent(ack, outcome, &mut self.orders);
            }
            Order::Read(reading, request) => self.read(reading, request),
            Order::Ack(ack, array) => {
                out.ack(ack, &[&array], &[]);
            }
            Order::Close => {
                out.close();
            }
        }
    }

    fn calls(&mut self) -> &mut UnderWay {
        self.under_way.get_or_insert_default()
    }

    fn read(&mut self, reading: Reading, request: ReadRequest) {
        let log = Arc::clone(&self.edge.log);
        let read = async move {
            let page = log.read_or_recall(&reading.stream, &request).await;
            (reading, page)
        };
        self.calls().pages.push(read.boxed());
    }
}
