//! One socket's task: moves messages between the socket, the session and the log. What to do is decided by the
//! session; here it is done, and nothing else.
//!
//! Everything it holds is bounded: deliveries are fetched only when the last ones are written, publishes and pages
//! under way are counted by the session, and while they are at their bound the socket is not read.

mod steps;

use std::future::poll_fn;
use std::num::NonZeroU32;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::{Delivery, Log, Page, ReadError};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use governor::clock::Clock as _;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use shared::limits::{WS_CLOSE_TIMEOUT, WS_ENVELOPE_BYTES_MAX, WS_REPLY_BYTES_QUEUED_MAX};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use tracing::debug;

use super::close::CloseCode;
use super::format::Format;
use super::gauges::Gauges;
use super::liveness::{Check, Liveness};
use super::reader::{Reader, ReaderEvent};
use super::session::{Output, Reading, Ref, Session};
use super::settings::{Patience, SessionLimits};
use super::socket::{Socket, SocketEvent};
use crate::app::AppState;
use crate::appends::{Publishes, Settled, Target};
use crate::rate::{Client, RateLimits};
use crate::trace::RequestTrace;
use crate::websocket::Opcode;

/// One socket and everything it has under way.
pub(crate) struct Connection {
    socket: Socket,
    format: Format,
    session: Session,
    outputs: Vec<Output>,
    log: Arc<dyn Log>,
    /// Who publishes, where the rate of publishes is limited.
    publisher: Option<(Arc<RateLimits>, Client)>,
    reader: Reader,
    deliveries: Vec<Delivery>,
    publishes: Publishes<Option<Ref>>,
    pages: FuturesUnordered<BoxFuture<'static, (Reading, Result<Page, ReadError>)>>,
    liveness: Liveness,
    limiter: DefaultDirectRateLimiter,
    read_after: Option<Instant>,
    gauges: Gauges,
    drain: CancellationToken,
    draining: bool,
    delivery_bytes_max: usize,
    close_timeout: Duration,
}

/// What wakes a connection.
enum Event {
    Socket(SocketEvent),
    Reader(ReaderEvent),
    Published(Settled<Option<Ref>>),
    Page(Reading, Result<Page, ReadError>),
    Drain,
    Timer,
}

/// How a connection ended: with a close, or without (`None`) because the peer was gone.
pub(crate) type End = Option<CloseCode>;

impl Connection {
    /// A connection on which the handshake is done. `read_ahead` was read behind it.
    pub(crate) fn new(
        stream: TcpStream,
        read_ahead: Bytes,
        format: Format,
        trace: RequestTrace,
        client: Option<Client>,
        state: &AppState,
    ) -> Self {
        let config = &state.config;
        let message_bytes_max = config.limits.event_bytes_max + WS_ENVELOPE_BYTES_MAX;
        let per_second = NonZeroU32::new(config.ws.frames_per_second).unwrap_or(NonZeroU32::MIN);
        Self {
            socket: Socket::new(stream, read_ahead, message_bytes_max),
            format,
            session: Session::new(format, SessionLimits::new(config), trace, fastrand::Rng::new()),
            outputs: Vec::new(),
            log: Arc::clone(&state.log),
            publisher: client
                .filter(|_| state.rate.limits_publishes())
                .map(|client| (Arc::clone(&state.rate), client)),
            reader: Reader::new(Arc::clone(&state.log), config.limits.subscriptions_max),
            deliveries: Vec::new(),
            publishes: Publishes::default(),
            pages: FuturesUnordered::new(),
            liveness: Liveness::new(Patience::new(config), Instant::now()),
            limiter: RateLimiter::direct(Quota::per_second(per_second)),
            read_after: None,
            gauges: Gauges::default(),
            // A token of its own: every wait locks it.
            drain: state.drain.child_token(),
            draining: false,
            delivery_bytes_max: config.tail.outbox_bytes_max,
            close_timeout: WS_CLOSE_TIMEOUT.min(config.drain.deadline / 4),
        }
    }

    /// Serves the socket until one side ends it.
    pub(crate) async fn run(mut self) -> End {
        let mut timer = Box::pin(tokio::time::sleep(Duration::ZERO));
        let drain = self.drain.clone();
        let mut drained = pin!(drain.cancelled());
        // What came together came at one time.
        let mut now = Instant::now();
        loop {
            if let Some(code) = self.carry_out() {
                // What came before a goodbye is published, though nobody hears of the outcome.
                self.begin_publishes();
                self.socket.close(code, self.close_timeout).await;
                return Some(code);
            }
            self.gauges.subscriptions(self.session.subscriptions());
            let mut reading = self.reads(now);
            // What has come together is taken together, and what it publishes is handed to the log together.
            if reading && let Some(event) = self.socket.buffered() {
                self.handle(Event::Socket(event), now);
                continue;
            }
            if self.begin_publishes() {
                continue;
            }
            reading &= !self.publishes.is_held_up();
            match self.liveness.check(now, self.socket.traffic(reading)) {
                Check::Fine => {}
                Check::Ping => self.socket.feed_reply(Opcode::Ping, &Bytes::new()),
                Check::Silent => {
                    self.session.close(CloseCode::Silent, &mut self.outputs);
                    continue;
                }
                Check::Stuck => {
                    // A close frame would wait behind everything else that is not taken.
                    self.socket.abort();
                    return Some(CloseCode::Stuck);
                }
            }
            let deadline = self.deadline();
            if timer.deadline().into_std() != deadline {
                timer.as_mut().reset(deadline.into());
            }
            let event = self.wait(reading, timer.as_mut(), drained.as_mut()).await;
            now = Instant::now();
            match event {
                Event::Socket(SocketEvent::Lost(error)) => {
                    debug!(?error, "the connection is gone");
                    return None;
                }
                event => self.handle(event, now),
            }
        }
    }

    /// Whether the socket is read now.
    fn reads(&mut self, now: Instant) -> bool {
        if self.read_after.is_some_and(|at| now >= at) {
            // The frame that came too early is counted now.
            self.read_after = self.pause(now);
        }
        self.session.wants_read()
            && !self.publishes.is_held_up()
            && self.read_after.is_none()
            && self.socket.reply_bytes() < WS_REPLY_BYTES_QUEUED_MAX
    }

    /// Counts a frame; returns until when to read no more, if it came too early.
    fn pause(&self, now: Instant) -> Option<Instant> {
        let early = self.limiter.check().err()?;
        Some(now + early.wait_time_from(self.limiter.clock().now()))
    }

    fn deadline(&self) -> Instant {
        let others = [self.session.deadline(), self.read_after];
        others
            .into_iter()
            .flatten()
            .fold(self.liveness.deadline(), Instant::min)
    }

    /// Waits for the next thing to happen.
    async fn wait(
        &mut self,
        reading: bool,
        timer: Pin<&mut Sleep>,
        drained: Pin<&mut WaitForCancellationFuture<'_>>,
    ) -> Event {
        let Self {
            socket,
            session,
            reader,
            deliveries,
            log,
            publisher,
            publishes,
            pages,
            draining,
            delivery_bytes_max,
            ..
        } = self;
        // Fetched only when the last batch is written: a peer that does not read makes its subscriptions page.
        let deliver = session.wants_deliveries() && !socket.unsent();
        let target = target(log, publisher.as_ref());
        tokio::select! {
            event = poll_fn(|cx| socket.poll_io(cx, reading)) => Event::Socket(event),
            event = reader.next(deliver, *delivery_bytes_max, deliveries) => Event::Reader(event),
            settled = poll_fn(|cx| publishes.poll(cx, target)) => Event::Published(settled),
            Some((reading, page)) = pages.next(), if !pages.is_empty() => Event::Page(reading, page),
            () = drained, if !*draining => Event::Drain,
            () = timer => Event::Timer,
        }
    }
}

/// Where a connection's publishes go.
fn target<'a>(log: &'a Arc<dyn Log>, publisher: Option<&'a (Arc<RateLimits>, Client)>) -> Target<'a> {
    Target {
        log,
        publisher: publisher.map(|(limits, client)| (&**limits, *client)),
    }
}
