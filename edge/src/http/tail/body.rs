//! The body of a tail's response: pulls from the subscriber when the connection can take more, and only then, so
//! that a client which reads slowly costs one batch and one chunk. It owns the tail's clock and its end.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use axum::body::Body;
use broker::{Delivery, Subscriber};
use bytes::Bytes;
use futures_util::stream;
use shared::limits::TAIL_CHUNK_BYTES;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;

use super::chunks::Chunks;
use super::encoder::Encoder;
use super::format::Format;
use super::gauges::Gauges;
use crate::spans;

/// How much and how often.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Bytes that are taken from the subscriber in one go.
    pub(super) batch_bytes: usize,
    /// Longest silence.
    pub(super) heartbeat: Duration,
    /// How long a client is asked to wait before it comes back when the edge stops. Random, so that not all come
    /// at once.
    pub(super) farewell_retry_ms: u64,
}

/// One tail, from its subscriber to its bytes.
pub(super) struct Tail<F> {
    subscriber: Subscriber,
    encoder: Encoder<F>,
    /// Deliveries that are not encoded yet.
    batch: std::vec::IntoIter<Delivery>,
    /// Encoded, not handed to the connection yet. Holds the opening at first.
    chunks: Chunks,
    pulse: Pulse,
    pace: Pace,
    drain: CancellationToken,
    phase: Phase,
    gauges: Gauges,
}

impl<F: Format> Tail<F> {
    /// A tail of what `subscriber` follows. `chunks` holds the opening. It ends when `drain` is cancelled.
    pub(super) fn new(
        subscriber: Subscriber,
        encoder: Encoder<F>,
        chunks: Chunks,
        pace: Pace,
        drain: CancellationToken,
        gauges: Gauges,
    ) -> Self {
        Self {
            subscriber,
            encoder,
            batch: Vec::new().into_iter(),
            chunks,
            pulse: Pulse::new(pace.heartbeat),
            pace,
            drain,
            phase: Phase::Following,
            gauges,
        }
    }

    /// Delivers these before anything else.
    pub(super) fn with_first(mut self, deliveries: Vec<Delivery>) -> Self {
        self.batch = deliveries.into_iter();
        self
    }

    /// The tail as a response body.
    pub(super) fn into_body(self) -> Body {
        Body::from_stream(stream::unfold(self, |mut tail| async move {
            let chunk = tail.next_chunk().await?;
            Some((Ok::<_, Infallible>(chunk), tail))
        }))
    }

    /// The next bytes; `None` after the last ones.
    pub(super) async fn next_chunk(&mut self) -> Option<Bytes> {
        loop {
            self.encode_some();
            if let Some(chunk) = self.chunks.pop() {
                self.pulse.beat();
                return Some(chunk);
            }
            match self.phase {
                _ if self.encoder.has_ended() => return None,
                Phase::Following => self.wait().await,
                Phase::Closing => {
                    self.take_position();
                    self.encoder
                        .farewell(self.pace.farewell_retry_ms, &mut self.chunks);
                    self.phase = Phase::Closed;
                }
                Phase::Closed => return None,
            }
        }
    }

    /// The position in a tail of one stream, and how many entries the subscriber has handed out up to there.
    #[cfg(test)]
    pub(super) fn pulled(&self) -> (shared::Cursor, u64) {
        let (_, cursor) = self
            .subscriber
            .positions()
            .next()
            .unwrap_or_else(|| unreachable!());
        (cursor, cursor.ordinal.map_or(0, |ordinal| ordinal.0))
    }

    /// Encodes deliveries until there is a chunk to hand over, or nothing is left.
    fn encode_some(&mut self) {
        while self.chunks.len_bytes() < TAIL_CHUNK_BYTES {
            let Some(delivery) = self.batch.next() else {
                // Lets go of the memory: most tails are idle most of the time.
                self.batch = Vec::new().into_iter();
                break;
            };
            if let Delivery::Event(entry) = &delivery {
                spans::delivered(self.gauges.transport(), entry);
            }
            self.encoder.encode(delivery, &mut self.chunks);
        }
        self.gauges.count(self.encoder.take_tally());
    }

    /// The subscriber tells only now and then how far it has come past events that its filter holds back. Exact when
    /// everything it has handed out is encoded.
    fn take_position(&mut self) {
        for (stream, cursor) in self.subscriber.positions() {
            self.encoder.pass(stream, cursor);
        }
    }

    /// Waits for deliveries, for silence to have lasted too long, or for the edge to stop.
    async fn wait(&mut self) {
        let (mut batch, mut silent) = (Vec::new(), false);
        tokio::select! {
            biased;
            () = self.drain.cancelled() => self.phase = Phase::Closing,
            () = self.subscriber.next(self.pace.batch_bytes, &mut batch) => {}
            () = self.pulse.silence() => silent = true,
        }
        // Whatever ended the wait: what the subscriber has handed out is to be delivered.
        self.batch = batch.into_iter();
        if silent && self.batch.len() == 0 {
            self.take_position();
            self.encoder.heartbeat(&mut self.chunks);
        }
    }
}

/// How far a tail is from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It goes on.
    Following,
    /// The edge stops: what has been taken from the subscriber is delivered, then the farewell.
    Closing,
    /// The farewell has been said.
    Closed,
}

/// Notices when nothing has been sent for a while. One timer that is set again only when it fires, however much is
/// sent in between.
struct Pulse {
    every: Duration,
    last: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Pulse {
    fn new(every: Duration) -> Self {
        Self {
            every,
            last: Instant::now(),
            timer: Box::pin(tokio::time::sleep(every)),
        }
    }

    /// Something is being sent.
    fn beat(&mut self) {
        self.last = Instant::now();
    }

    /// Waits until nothing has been sent for the whole time. Cancel-safe.
    async fn silence(&mut self) {
        loop {
            self.timer.as_mut().await;
            let due = self.last + self.every;
            if Instant::now() >= due {
                // The timer stays elapsed; the next call finds it so and sets it by the beat that came meanwhile.
                return;
            }
            self.timer.as_mut().reset(due);
        }
    }
}
