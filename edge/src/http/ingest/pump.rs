//! Reads lines, hands them to the log, answers them in order. One task owns one upload.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use broker::{AppendError, Appended, Durability, NewEvent, Receipt};
use shared::limits::{
    APPEND_BATCH_ENTRIES_MAX, EVENT_SYNTAX_BYTES_MAX, INGEST_BATCH_BYTES, INGEST_BATCHES_IN_FLIGHT_MAX,
    INGEST_BYTES_IN_FLIGHT_MAX, INGEST_STALL, RECONNECT_PAUSE_MAX, RECONNECT_PAUSE_MIN,
};
use shared::{StreamName, Text};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::debug;

use super::batch::Batch;
use super::lines::{Lines, Piece, take_lines};
use super::next_chunk;
use crate::app::AppState;
use crate::rate::Client;

type Chunk = Option<Result<Bytes, axum::Error>>;
type Results = Vec<Result<Appended, AppendError>>;

/// The client does not take answers any more.
struct Gone;

/// A batch that was handed to the log, or never needed to be.
struct InFlight {
    batch: Batch,
    receipt: Option<Receipt>,
    since: Instant,
}

/// What the request says for all of its lines.
pub(super) struct Given {
    /// The trace they belong to.
    pub(super) trace: Option<Text>,
    /// How durable those must be that do not say.
    pub(super) durability: Option<Durability>,
}

impl Given {
    fn complete(&self, mut events: Vec<NewEvent>) -> Vec<NewEvent> {
        for event in &mut events {
            event.durability = event.durability.or(self.durability);
        }
        events
    }
}

/// What one upload has under way.
pub(super) struct Pump {
    state: AppState,
    stream: StreamName,
    client: Client,
    given: Given,
    body: Body,
    /// What the body brought when it was first asked.
    first: Option<Chunk>,
    answers: mpsc::Sender<Bytes>,
    lines: Lines,
    line_bytes_max: usize,
    /// Handed to the log and not answered, oldest first.
    in_flight: VecDeque<InFlight>,
    in_flight_bytes: usize,
}

impl Pump {
    pub(super) fn new(
        state: AppState,
        stream: StreamName,
        client: Client,
        given: Given,
        body: Body,
        answers: mpsc::Sender<Bytes>,
    ) -> Self {
        let line_bytes_max = state.config.limits.event_bytes_max + EVENT_SYNTAX_BYTES_MAX;
        Self {
            state,
            stream,
            client,
            given,
            body,
            first: None,
            answers,
            lines: Lines::new(line_bytes_max),
            line_bytes_max,
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
        }
    }

    /// Shows the connection that the body is wanted, without waiting for it.
    pub(super) async fn ask_for_body(&mut self) {
        self.first = futures_util::FutureExt::now_or_never(next_chunk(&mut self.body));
    }

    /// Runs until the body has ended and everything is answered, the client is gone, or the edge drains: then what
    /// was read is still answered.
    pub(super) async fn run(mut self) {
        match self.pump().await {
            Ok(()) => debug!(stream = %self.stream, "upload ended"),
            Err(Gone) => debug!(stream = %self.stream, "upload cut by the client"),
        }
    }

    async fn pump(&mut self) -> Result<(), Gone> {
        let drain = self.state.drain.clone();
        if let Some(first) = self.first.take()
            && !self.take_chunk(first).await?
        {
            return self.settle_everything().await;
        }
        loop {
            self.answer_what_is_known().await?;
            let room = self.has_room();
            let oldest = self
                .in_flight
                .front_mut()
                .and_then(|oldest| oldest.receipt.as_mut());
            tokio::select! {
                Some(results) = settled(oldest) => self.answer_oldest(Some(results)).await?,
                chunk = next_chunk(&mut self.body), if room => {
                    if !self.take_chunk(chunk).await? {
                        break;
                    }
                }
                () = drain.cancelled() => break,
                () = self.answers.closed() => return Err(Gone),
            }
        }
        self.settle_everything().await
    }

    /// Whether more may be handed to the log. Not while the oldest waits for long: the log may be going away, and
    /// what is handed in behind lines that fail in the end would overtake them.
    fn has_room(&self) -> bool {
        let stalls = |oldest: &InFlight| oldest.since.elapsed() > INGEST_STALL;
        self.in_flight.len() < INGEST_BATCHES_IN_FLIGHT_MAX
            && self.in_flight_bytes < INGEST_BYTES_IN_FLIGHT_MAX
            && !self.in_flight.front().is_some_and(stalls)
    }

    fn push(&mut self, batch: Batch, receipt: Option<Receipt>) {
        self.in_flight_bytes += batch.bytes();
        self.in_flight.push_back(InFlight {
            batch,
            receipt,
            since: Instant::now(),
        });
    }

    /// Takes what the body brought. Returns whether more may follow.
    async fn take_chunk(&mut self, chunk: Chunk) -> Result<bool, Gone> {
        let mut pieces = Vec::new();
        let more = match chunk {
            Some(Ok(chunk)) => {
                self.lines.push(&chunk, |piece| pieces.push(piece));
                true
            }
            None => {
                pieces.extend(self.lines.finish());
                false
            }
            // Cut in the middle: what stands of the last line is not a line.
            Some(Err(_)) => return Err(Gone),
        };
        for piece in pieces {
            match piece {
                Piece::TooLong => {
                    self.queue(Batch::of_too_long(self.line_bytes_max), Vec::new())
                        .await?
                }
                Piece::Lines(mut text) => {
                    while !text.is_empty() {
                        let lines = take_lines(&mut text, APPEND_BATCH_ENTRIES_MAX, INGEST_BATCH_BYTES);
                        let (batch, events) =
                            Batch::parse(lines, self.line_bytes_max, self.given.trace.as_ref());
                        let events = self.given.complete(events);
                        self.queue(batch, events).await?;
                    }
                }
            }
        }
        Ok(more)
    }

    /// Hands a batch to the log as soon as there is room for it.
    async fn queue(&mut self, mut batch: Batch, events: Vec<NewEvent>) -> Result<(), Gone> {
        if batch.is_empty() {
            return Ok(());
        }
        while !self.has_room() {
            self.settle_oldest().await?;
        }
        self.wait_for_rate(events.len()).await?;
        if events.is_empty() {
            self.push(batch, None);
            return self.answer_what_is_known().await;
        }
        match self.state.log.submit(&self.stream, events).await {
            Ok(receipt) => {
                self.push(batch, Some(receipt));
                Ok(())
            }
            Err(error) => {
                batch.settle_all(&error);
                self.push(batch, None);
                // Nothing is handed in behind it before it is settled, so that the order stays.
                self.settle_everything().await
            }
        }
    }

    /// Slows the client down to its rate instead of refusing lines.
    async fn wait_for_rate(&mut self, events: usize) -> Result<(), Gone> {
        let rate = Arc::clone(&self.state.rate);
        if !rate.limits_publishes() {
            return Ok(());
        }
        for _ in 0..events {
            while let Err(pause) = rate.publish_or_wait(self.client) {
                if self.state.drain.is_cancelled() {
                    return Ok(());
                }
                self.settle_everything().await?;
                self.pause(pause).await?;
            }
        }
        Ok(())
    }

    async fn settle_everything(&mut self) -> Result<(), Gone> {
        while !self.in_flight.is_empty() {
            self.settle_oldest().await?;
        }
        Ok(())
    }

    /// Answers the batches at the front that wait for nothing.
    async fn answer_what_is_known(&mut self) -> Result<(), Gone> {
        while self
            .in_flight
            .front()
            .is_some_and(|oldest| oldest.receipt.is_none())
        {
            self.settle_oldest().await?;
        }
        Ok(())
    }

    async fn settle_oldest(&mut self) -> Result<(), Gone> {
        let receipt = self
            .in_flight
            .front_mut()
            .and_then(|oldest| oldest.receipt.as_mut());
        let results = settled(receipt).await;
        self.answer_oldest(results).await
    }

    async fn answer_oldest(&mut self, results: Option<Results>) -> Result<(), Gone> {
        let Some(InFlight { mut batch, .. }) = self.in_flight.pop_front() else {
            return Ok(());
        };
        self.in_flight_bytes -= batch.bytes();
        if let Some(results) = results {
            batch.settle(results);
        }
        self.hold(&mut batch).await?;
        debug!(stream = %self.stream, lines = batch.len(), "lines published or refused");
        self.answers
            .send(Bytes::from(batch.answers()))
            .await
            .map_err(|_| Gone)
    }

    /// While the log is away, holds the lines that may safely be tried again, and with them the client.
    ///
    /// Lines behind them that were under way already may have got their place first.
    async fn hold(&mut self, batch: &mut Batch) -> Result<(), Gone> {
        let deadline = Instant::now() + self.state.config.publish.hold;
        let mut pause = RECONNECT_PAUSE_MIN;
        loop {
            let events = batch.take_retries(self.given.trace.as_ref());
            if events.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline || self.state.drain.is_cancelled() {
                batch.give_up();
                return Ok(());
            }
            self.pause(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await?;
            pause = (pause * 2).min(RECONNECT_PAUSE_MAX);
            let events = self.given.complete(events);
            match self.state.log.submit(&self.stream, events).await {
                Ok(receipt) => batch.settle(receipt.await),
                Err(error) => batch.settle_all(&error),
            }
        }
    }

    /// Waits, but not for a client that is gone, and no longer once the edge drains.
    async fn pause(&mut self, pause: Duration) -> Result<(), Gone> {
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            () = self.state.drain.cancelled() => Ok(()),
            () = self.answers.closed() => Err(Gone),
        }
    }
}

/// The outcome of a batch; `None` at once if it has none to wait for.
async fn settled(receipt: Option<&mut Receipt>) -> Option<Results> {
    Some(receipt?.await)
}
