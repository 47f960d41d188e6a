//! The client itself: opens connections, one after the other, and lets the [`Session`] go on over them.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use serde_json::Value;
use tokio::time::{Sleep, sleep, timeout};

use super::backoff::Backoff;
use super::engine::{Batch, BoxFuture, Engine, Message};
use super::packet::Decoder;
use super::session::Session;
use super::{Event, Options, Reason};

/// Connections that may be coming to their end at the same time; the oldest is dropped for one more.
const LEAVING_MAX: usize = 4;

enum Link {
    /// The client has left, or was made to leave.
    None,
    /// Until the next attempt.
    Waiting(Pin<Box<Sleep>>),
    Opening(BoxFuture<io::Result<(Engine, Batch)>>),
    Open(Box<Engine>),
}

/// A Socket.IO client.
pub struct Client {
    options: Arc<Options>,
    session: Session,
    decoder: Decoder,
    link: Link,
    backoff: Backoff,
    events: VecDeque<Event>,
    /// What earlier connections still have to do.
    leaving: VecDeque<BoxFuture<()>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client that will connect at once.
    pub fn new(options: Options) -> Self {
        let options = Arc::new(options);
        Self {
            session: Session::new(&options.namespace, options.auth.clone()),
            decoder: Decoder::new(options.checks_json),
            link: opening(&options),
            backoff: Backoff::new(options.seed),
            events: VecDeque::new(),
            leaving: VecDeque::new(),
            options,
        }
    }

    /// The socket's ID while it is connected.
    pub fn id(&self) -> Option<&str> {
        self.session.id()
    }

    /// The offset that it would come back with.
    pub fn offset(&self) -> Option<&str> {
        self.session.offset()
    }

    /// Whether the connection goes over WebSocket now.
    pub fn is_websocket(&self) -> bool {
        matches!(&self.link, Link::Open(engine) if engine.is_websocket())
    }

    /// Emits an event with these arguments. It goes out once [`Client::next`] is waited for; if there is no connection,
    /// with the next one.
    pub fn emit(&mut self, event: &str, arguments: &[Value]) {
        self.emit_raw(array(event, arguments), Vec::new(), false);
    }

    /// As [`Client::emit`], and asks for an acknowledgement, which comes as [`Event::Acknowledged`] with the number that
    /// is returned here; never, if the connection ends before.
    pub fn emit_with_ack(&mut self, event: &str, arguments: &[Value]) -> u64 {
        let id = self.emit_raw(array(event, arguments), Vec::new(), true);
        id.unwrap_or_default()
    }

    /// Emits a JSON array of name and arguments that was written already, with placeholders for `attachments`.
    pub fn emit_raw(&mut self, array: Bytes, attachments: Vec<Bytes>, acknowledge: bool) -> Option<u64> {
        let alive = matches!(&self.link, Link::Open(engine) if !engine.has_ping_expired());
        let (messages, id) = self.session.emit(array, attachments, acknowledge, alive);
        self.send(messages);
        id
    }

    /// Acknowledges an event of the server with a JSON array of arguments.
    pub fn acknowledge(&mut self, id: u64, array: Bytes) {
        let messages = self.session.acknowledge(id, array);
        self.send(messages);
    }

    /// Leaves for good: the server may forget the session. The last things are said while [`Client::next`] is waited for.
    pub fn disconnect(&mut self) {
        let messages = self.session.leave();
        self.send(messages);
        if self.session.is_connected() {
            self.session.closed(Reason::Client, &mut self.events);
        }
        self.end(true);
        self.link = Link::None;
    }

    /// Comes back after it has left or was made to leave.
    pub fn connect(&mut self) {
        self.session.active = true;
        if matches!(self.link, Link::None) {
            self.link = opening(&self.options);
        }
    }

    /// Loses its connection, as if the network had gone: nothing is said to the server.
    pub fn break_connection(&mut self) {
        if matches!(self.link, Link::Open(_)) {
            let link = std::mem::replace(&mut self.link, Link::None);
            drop(link);
            self.closed(Reason::Transport("broken on purpose".to_owned()));
        }
    }

    /// The next event; `None` once the client has left and everything is said. Giving up the call loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`Client::next`].
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(Some(event));
            }
            self.leaving
                .retain_mut(|future| future.as_mut().poll(cx).is_pending());
            match &mut self.link {
                Link::None if self.leaving.is_empty() => return Poll::Ready(None),
                Link::None => return Poll::Pending,
                Link::Waiting(sleep) => match sleep.as_mut().poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(()) => self.link = opening(&self.options),
                },
                Link::Opening(future) => match future.as_mut().poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok((engine, batch))) => self.opened(engine, batch),
                    Poll::Ready(Err(error)) => self.not_opened(&error),
                },
                Link::Open(engine) => match engine.poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(batch) => self.take(batch),
                },
            }
        }
    }

    fn opened(&mut self, engine: Engine, batch: Batch) {
        self.backoff.reset();
        self.decoder.reset();
        self.link = Link::Open(Box::new(engine));
        let messages = self.session.opened();
        self.send(messages);
        self.take(batch);
    }

    fn not_opened(&mut self, error: &io::Error) {
        self.events.push_back(Event::ConnectError {
            error: error.to_string(),
        });
        self.link = Link::Waiting(Box::pin(sleep(self.backoff.next(&self.options))));
    }

    /// Takes what arrived at once: all of it is decoded, and the connection may have ended, before the session looks at
    /// the first packet. That is how the official client does it.
    fn take(&mut self, batch: Batch) {
        let (mut packets, mut closed) = (Vec::with_capacity(batch.messages.len()), batch.closed);
        for message in batch.messages {
            match self.decoder.take(message) {
                Ok(packet) => packets.extend(packet),
                Err(error) => {
                    closed = Some(Reason::Parse(error.to_string()));
                    break;
                }
            }
        }
        if let Some(reason) = closed {
            self.closed(reason);
        }
        for packet in packets {
            let messages = self.session.take(packet, &mut self.events);
            self.send(messages);
        }
        if !self.session.active {
            self.end(true);
            self.link = Link::None;
        }
    }

    fn closed(&mut self, reason: Reason) {
        self.end(false);
        self.decoder.reset();
        self.backoff.reset();
        self.session.closed(reason, &mut self.events);
        self.link = Link::Waiting(Box::pin(sleep(self.backoff.next(&self.options))));
    }

    /// Leaves the connection, if there is one.
    fn end(&mut self, flush: bool) {
        if let Link::Open(engine) = std::mem::replace(&mut self.link, Link::None) {
            if self.leaving.len() == LEAVING_MAX {
                self.leaving.pop_front();
            }
            self.leaving.push_back(engine.leave(flush));
        }
    }

    fn send(&mut self, messages: Vec<Message>) {
        if let Link::Open(engine) = &mut self.link {
            messages.into_iter().for_each(|message| engine.send(message));
        }
    }
}

fn opening(options: &Arc<Options>) -> Link {
    let options = options.clone();
    Link::Opening(Box::pin(async move {
        let patience = options.timeout;
        match timeout(patience, Engine::open(options)).await {
            Ok(opened) => opened,
            Err(late) => Err(late.into()),
        }
    }))
}

fn array(event: &str, arguments: &[Value]) -> Bytes {
    let mut array = vec![Value::from(event)];
    array.extend_from_slice(arguments);
    Value::from(array).to_string().into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn batch(messages: &[&'static str], closed: bool) -> Batch {
        Batch {
            messages: messages
                .iter()
                .map(|text| Message::Text((*text).into()))
                .collect(),
            closed: closed.then_some(Reason::PingTimeout),
        }
    }

    fn happened(client: &mut Client) -> Vec<String> {
        let word = |event| match event {
            Event::Received(received) => String::from_utf8(received.array.to_vec()).unwrap(),
            Event::Connected { recovered, .. } => format!("recovered: {recovered}"),
            Event::Disconnected { .. } => "gone".to_owned(),
            other => panic!("{other:?}"),
        };
        client.events.drain(..).map(word).collect()
    }

    /// The official client decodes all packets of an answer before its socket sees the first one, and closes at once:
    /// so the socket keeps these events for its next CONNECT, and asks for them again.
    #[tokio::test]
    async fn events_that_come_together_with_the_end_wait_for_the_next_connect() {
        let mut client = Client::new(Options::new(([127, 0, 0, 1], 1).into()));
        let accept = r#"0{"sid":"s","pid":"p"}"#;
        client.take(batch(&[accept, r#"2["e",1,"o1"]"#], false));
        client.take(batch(&[r#"2["e",2,"o2"]"#], true));
        assert_eq!(client.offset(), Some("o1"));
        assert_eq!(
            happened(&mut client),
            ["recovered: false", r#"["e",1,"o1"]"#, "gone"]
        );
        client.take(batch(&[accept, r#"2["e",2,"o2"]"#], false));
        assert_eq!(client.offset(), Some("o2"));
        let twice = [r#"["e",2,"o2"]"#, "recovered: true", r#"["e",2,"o2"]"#];
        assert_eq!(happened(&mut client), twice);
    }

    #[tokio::test]
    async fn what_cannot_be_understood_ends_the_connection() {
        let mut client = Client::new(Options::new(([127, 0, 0, 1], 1).into()));
        client.take(batch(&[r#"0{"sid":"s"}"#], false));
        client.take(batch(&[r#"2["e",1]"#, "2[", r#"2["e",2]"#], false));
        // What came before it has been decoded, and waits too.
        assert_eq!(happened(&mut client), ["recovered: false", "gone"]);
        assert!(matches!(client.link, Link::Waiting(_)));
    }
}
