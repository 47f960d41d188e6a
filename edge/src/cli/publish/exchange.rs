//! One request of lines, and the answers to it, which come while it is still being sent. It ends with the request:
//! what is not acknowledged then is for the next one.

use std::convert::Infallible;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Body, RequestBuilder};
use shared::limits::{
    CLIENT_LINE_BYTES_MAX, CLIENT_STOP_GRACE, PUBLISH_FRAME_BYTES, PUBLISH_FRAMES_QUEUED_MAX,
    PUBLISH_IDLE_MAX, PUBLISH_PROBE_BYTES, PUBLISH_SHORT_REQUEST_BYTES_MAX,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::answer::Answer;
use super::producer::Producer;
use super::window::Settled;
use crate::cli::client::NDJSON;
use crate::cli::lines::LineAssembler;
use crate::cli::problem::{Problem, accepted};
use crate::cli::terminal::Notice;

/// Pieces of the answer as they come; first an empty one when it begins.
type Answers = Pin<Box<dyn Stream<Item = Result<Bytes, Problem>> + Send>>;

/// How a request ended without a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    /// Everything that was sent is settled.
    Settled,
    /// A line was refused, and that was to be the end.
    Refused,
}

/// A request under way.
pub(super) struct Exchange {
    /// Takes pieces of the body; `None` once the body is complete.
    body: Option<mpsc::Sender<Bytes>>,
    sent_bytes: usize,
    answers: Answers,
    lines: LineAssembler,
    /// Whether the edge has begun to answer.
    begun: bool,
    /// Whether any line was answered.
    answered: bool,
    /// Whether the answers were waited for in vain.
    timed_out: bool,
    /// Whether only the end of the answer is still waited for.
    lingering: bool,
    /// When the connection counts as dead, or the request as idle.
    deadline: Instant,
    /// Why lines have to be sent again, once that is so.
    put_off: Option<String>,
}

/// What happened next.
enum Happened {
    Room,
    Chunk(Option<Result<Bytes, Problem>>),
    Input(Option<Vec<super::input::Input>>),
    Stopped,
    Deadline,
}

impl Exchange {
    /// Sends the head of the request.
    pub(super) fn begin(request: RequestBuilder) -> Self {
        let (body, mut frames) = mpsc::channel::<Bytes>(PUBLISH_FRAMES_QUEUED_MAX);
        let frames = stream::poll_fn(move |cx| frames.poll_recv(cx)).map(Ok::<_, Infallible>);
        let request = request
            .header(CONTENT_TYPE, NDJSON)
            .body(Body::wrap_stream(frames));
        let answers = stream::once(async move {
            let response = accepted(request.send().await?, NDJSON).await?;
            let pieces = response.bytes_stream().map_err(Problem::from);
            Ok::<_, Problem>(stream::iter([Ok(Bytes::new())]).chain(pieces))
        });
        Self {
            body: Some(body),
            sent_bytes: 0,
            answers: Box::pin(answers.try_flatten()),
            lines: LineAssembler::new(CLIENT_LINE_BYTES_MAX),
            begun: false,
            answered: false,
            timed_out: false,
            lingering: false,
            deadline: Instant::now(),
            put_off: None,
        }
    }

    /// Whether no line at all was answered, for as long as one waits.
    pub(super) fn was_silent(&self) -> bool {
        self.timed_out && !self.answered
    }

    /// Sends lines and takes answers until the request is over.
    pub(super) async fn run(&mut self, producer: &mut Producer) -> Result<Closed, Problem> {
        self.heard(producer);
        loop {
            self.close_when_complete(producer);
            if self.body.is_none() && !producer.window.has_in_flight() && !self.lingering {
                return self.ended(producer);
            }
            match self.next(producer).await {
                Happened::Room => self.send(producer),
                Happened::Input(batch) => producer.take_input(batch),
                Happened::Stopped => producer.end_input(),
                Happened::Chunk(Some(chunk)) => {
                    if self.take_answers(chunk?, producer)? == Some(Closed::Refused) {
                        return Ok(Closed::Refused);
                    }
                }
                Happened::Chunk(None) => return self.ended(producer),
                Happened::Deadline if producer.window.has_in_flight() => {
                    self.timed_out = true;
                    let patience = producer.answer_timeout;
                    return Err(Problem::passing(format!("nothing was answered for {patience:?}")));
                }
                // Nothing to send for long: a request that is over cannot break unnoticed.
                Happened::Deadline if self.body.is_some() => self.close(producer),
                Happened::Deadline => return self.ended(producer),
            }
        }
    }

    async fn next(&mut self, producer: &mut Producer) -> Happened {
        let may_send =
            producer.window.has_waiting() && (self.sent_bytes == 0 || self.may_send_much(producer));
        let may_read = self.body.is_some() && producer.may_read();
        let body = &self.body;
        let room = async {
            match body {
                Some(body) if body.reserve().await.is_ok() => {}
                // The request takes nothing more; the answer will say why.
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            chunk = self.answers.next() => Happened::Chunk(chunk),
            () = room, if may_send => Happened::Room,
            batch = producer.input.recv(), if may_read => Happened::Input(batch),
            () = producer.stop.cancelled(), if !producer.input_ended => Happened::Stopped,
            () = sleep_until(self.deadline) => Happened::Deadline,
        }
    }

    /// The connection lives, or has something new to do.
    fn heard(&mut self, producer: &Producer) {
        let patience = match producer.window.has_in_flight() || producer.window.has_waiting() {
            true => producer.answer_timeout,
            false => PUBLISH_IDLE_MAX,
        };
        self.deadline = Instant::now() + patience;
    }

    /// An edge that refuses the whole request closes the connection, and what lies unread there then can take the
    /// refusal along. So only a little is sent before the edge begins to answer; unless something on the way waits
    /// for the end of the request.
    fn may_send_much(&self, producer: &Producer) -> bool {
        self.begun || producer.short_requests
    }

    fn send(&mut self, producer: &mut Producer) {
        let Some(body) = &self.body else {
            return;
        };
        if !producer.window.has_in_flight() {
            self.deadline = Instant::now() + producer.answer_timeout;
        }
        let much = self.may_send_much(producer);
        let frame = producer.window.next_frame(if much {
            PUBLISH_FRAME_BYTES
        } else {
            PUBLISH_PROBE_BYTES
        });
        self.sent_bytes += frame.len();
        // There is room: this is the only sender. If nobody takes it any more, the answer will say why.
        let _ = body.try_send(frame);
        producer.show();
    }

    /// The body is complete when nothing more is to come, or nothing more may be sent in this request.
    fn close_when_complete(&mut self, producer: &Producer) {
        let all_sent = !producer.window.has_waiting();
        let short = producer.short_requests
            && self.sent_bytes > 0
            && (all_sent || self.sent_bytes >= PUBLISH_SHORT_REQUEST_BYTES_MAX);
        if self.body.is_some() && ((producer.input_ended && all_sent) || short || self.put_off.is_some()) {
            self.close(producer);
        }
    }

    /// Completes the body. If nothing is unanswered, only the end of the answer is waited for, and not for long: so
    /// that the edge sees the end of the request and not a cut.
    fn close(&mut self, producer: &Producer) {
        self.body = None;
        if !producer.window.has_in_flight() {
            self.lingering = true;
            self.deadline = Instant::now() + CLIENT_STOP_GRACE;
        }
    }

    fn take_answers(&mut self, chunk: Bytes, producer: &mut Producer) -> Result<Option<Closed>, Problem> {
        producer.connected();
        self.begun = true;
        self.lines.feed(chunk);
        while let Some(line) = self
            .lines
            .next_line()
            .map_err(|e| Problem::lasting(e.to_string()))?
        {
            let Some(answer) = Answer::parse(&line).map_err(|e| Problem::passing(e.to_string()))? else {
                continue;
            };
            let settled = producer.window.answered(answer);
            let settled =
                settled.map_err(|_| Problem::passing("the edge sent more answers than it had lines"))?;
            self.answered = true;
            match settled {
                Settled::Published { duplicate, misplaced } => {
                    producer.counts.published += 1;
                    producer.counts.duplicates += u64::from(duplicate);
                    producer.counts.misplaced += u64::from(misplaced);
                }
                Settled::Again { why } => self.put_off = Some(why),
                Settled::Refused { number, why } => {
                    producer.counts.refused += 1;
                    producer.say(&Notice::plain(format!("line {number} was refused: {why}")));
                    if producer.stop_on_error {
                        return Ok(Some(Closed::Refused));
                    }
                }
            }
        }
        self.heard(producer);
        producer.show();
        match &self.put_off {
            // Everything has its answer: the rest is for the next request.
            Some(why) if !producer.window.has_in_flight() => Err(Problem::passing(why.as_str())),
            _ => Ok(None),
        }
    }

    /// The edge ended the answer, or the request was idle.
    fn ended(&self, producer: &Producer) -> Result<Closed, Problem> {
        match &self.put_off {
            Some(why) => Err(Problem::passing(why.as_str())),
            None if producer.window.has_in_flight() => Err(Problem::passing(
                "the edge ended its answers before every line had one",
            )),
            None => Ok(Closed::Settled),
        }
    }
}
