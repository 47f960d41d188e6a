//! The connections of a tail, one after the other, each going on where the one before was cut. It hands batches to
//! the output and never prints an event itself.

use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use reqwest::Url;
use reqwest::header::ACCEPT;
use shared::limits::{CLIENT_LINE_BYTES_MAX, CLIENT_OUTPUT_BATCH_BYTES, CLIENT_STABLE_AFTER};
use tokio::time::{Instant, sleep, timeout};

use super::follower::{Follower, Step};
use super::output::{Batch, Output};
use crate::cli::client::Edge;
use crate::cli::client::NDJSON;
use crate::cli::lines::LineAssembler;
use crate::cli::outage::Outage;
use crate::cli::problem::{Problem, accepted};

/// What may not stand as it is in the value of a parameter. Much else may (RFC 3986, section 3.4), and does: a cursor
/// over many streams would be half as long again, and the head of a request is bounded.
const NOT_IN_QUERY: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'\'')
    .add(b'+')
    .add(b'<')
    .add(b'=')
    .add(b'>');

/// What is asked for in every connection, and what only in the first.
#[derive(Debug)]
pub(super) struct Request {
    /// Where, without what is asked.
    pub(super) url: Url,
    /// Parameters of every connection.
    pub(super) always: Vec<(&'static str, String)>,
    /// Where to begin, as long as there is no cursor.
    pub(super) begin: Option<(&'static str, String)>,
}

impl Request {
    fn url(&self, cursor: Option<&[u8]>) -> Url {
        let from = cursor.map(|cursor| ("from", String::from_utf8_lossy(cursor).into_owned()));
        let begin = from.as_ref().or(self.begin.as_ref());
        let pairs = self.always.iter().chain(begin);
        let query: Vec<String> = pairs
            .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NOT_IN_QUERY)))
            .collect();
        let mut url = self.url.clone();
        url.set_query(Some(query.join("&").as_str()).filter(|query| !query.is_empty()));
        url
    }
}

/// Why a tail ended by itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TailEnd {
    /// Everything that was asked for has been handed to the output.
    Finished,
    /// The output takes nothing more.
    OutputEnded,
    /// It cannot go on, and why.
    Failed(String),
}

/// How one connection ended.
enum Cut {
    End(TailEnd),
    /// The edge asked for it.
    Reconnect,
    Problem(Problem),
}

impl From<Problem> for Cut {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

/// A tail and its connections.
pub(super) struct Tailer<'a> {
    pub(super) edge: &'a Edge,
    pub(super) request: Request,
    pub(super) heartbeat_timeout: Duration,
    pub(super) follower: &'a mut Follower,
    pub(super) output: &'a Output,
    pub(super) outage: Outage,
}

impl Tailer<'_> {
    /// Follows until there is a reason to end. Can be dropped at any time: what the output has written is known to
    /// the output.
    pub(super) async fn run(mut self) -> TailEnd {
        loop {
            let (began, before) = (Instant::now(), self.follower.cursor().cloned());
            let cut = match self.connect_and_read().await {
                Ok(never) => match never {},
                Err(cut) => cut,
            };
            if began.elapsed() >= CLIENT_STABLE_AFTER || self.follower.cursor() != before.as_ref() {
                self.outage.progressed();
            }
            let pause = match cut {
                Cut::End(end) => return end,
                Cut::Reconnect => self.outage.invited(fastrand::f64()),
                Cut::Problem(problem) => match self.outage.failed(problem, fastrand::f64()) {
                    Ok(pause) => pause,
                    Err(why) => return TailEnd::Failed(why),
                },
            };
            sleep(pause).await;
        }
    }

    async fn connect_and_read(&mut self) -> Result<std::convert::Infallible, Cut> {
        let url = self.request.url(self.follower.cursor().map(|c| &c[..]));
        let open = async {
            let sent = self.edge.get(url).header(ACCEPT, NDJSON).send().await;
            accepted(sent?, NDJSON).await
        };
        let mut response = self.in_time(open).await??;
        self.outage.connected();
        self.follower.connected();
        let mut lines = LineAssembler::new(CLIENT_LINE_BYTES_MAX);
        loop {
            // The clock runs only while this waits for the edge, not while the output is slow.
            let Some(chunk) = self.in_time(response.chunk()).await?.map_err(Problem::from)? else {
                return Err(Problem::passing("the edge ended the answer").into());
            };
            lines.feed(chunk);
            self.take_lines(&mut lines).await?;
        }
    }

    async fn in_time<T>(&self, answer: impl Future<Output = T>) -> Result<T, Problem> {
        timeout(self.heartbeat_timeout, answer)
            .await
            .map_err(|_| Problem::passing(format!("nothing was heard for {:?}", self.heartbeat_timeout)))
    }

    /// Takes the complete lines there are; what they bring goes to the output even if the last one is bad.
    async fn take_lines(&mut self, lines: &mut LineAssembler) -> Result<(), Cut> {
        let mut batch = Batch::default();
        let cut = loop {
            let line = match lines.next_line() {
                Ok(Some(line)) => line,
                Ok(None) => break None,
                Err(error) => {
                    break Some(Cut::Problem(Problem::lasting(format!(
                        "the edge sent too much: {error}"
                    ))));
                }
            };
            match self.follower.take(&line, &mut batch) {
                Ok(Step::Continue) => {}
                Ok(Step::Reconnect) => break Some(Cut::Reconnect),
                Ok(Step::Finished) => break Some(Cut::End(TailEnd::Finished)),
                Err(error) => break Some(Cut::Problem(Problem::passing(error.to_string()))),
            }
            if batch.cost_bytes() >= CLIENT_OUTPUT_BATCH_BYTES {
                self.hand_over(std::mem::take(&mut batch)).await?;
            }
        };
        self.hand_over(batch).await?;
        cut.map_or(Ok(()), Err)
    }

    async fn hand_over(&self, batch: Batch) -> Result<(), Cut> {
        match batch.is_empty() || self.output.send(batch).await {
            true => Ok(()),
            false => Err(Cut::End(TailEnd::OutputEnded)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_cursor_is_readable_in_the_url_and_beats_where_to_begin() {
        let request = Request {
            url: Url::parse("http://edge/v1/tail").unwrap(),
            always: vec![
                ("stream", "a/b:c".to_owned()),
                ("match", "x&y=1 +%\u{e9}#".to_owned()),
            ],
            begin: Some(("last", "5".to_owned())),
        };
        let always = "http://edge/v1/tail?stream=a/b:c&match=x%26y%3D1%20%2B%25%C3%A9%23";
        assert_eq!(request.url(None).as_str(), format!("{always}&last=5"));
        let cursor = b"a/b:c~1-0.1,d~2-0.2";
        assert_eq!(
            request.url(Some(cursor)).as_str(),
            format!("{always}&from=a/b:c~1-0.1,d~2-0.2")
        );
        let plain = Request {
            always: Vec::new(),
            begin: None,
            ..request
        };
        assert_eq!(plain.url(None).as_str(), "http://edge/v1/tail");
    }
}
