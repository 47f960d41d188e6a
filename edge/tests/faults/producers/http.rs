//! A producer over HTTP: lines with idempotency keys, sent ahead of their answers; what was not answered is sent again,
//! in order.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::{PAUSE, Plan, Record};
use crate::events;
use crate::http::{self, Body};

/// Lines that are sent ahead of their acknowledgements.
const WINDOW: usize = 512;
/// Bytes that go out in one write.
const WRITE_BYTES: usize = 16 * 1024;
/// How long an answer may take before the connection is given up.
const ANSWER: Duration = Duration::from_secs(3);

/// What has been sent and is not acknowledged, oldest first.
#[derive(Default)]
struct Outstanding {
    numbers: VecDeque<u32>,
    /// How many of them have been sent on this connection.
    sent: usize,
    /// The next event that was never sent.
    next: u32,
}

/// Publishes NDJSON over HTTP, through one edge or the other, until its quota is used up and acknowledged.
pub async fn publish_http(plan: Plan, edges: Vec<SocketAddr>, seed: u64) -> Record {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut record = Record::new(plan);
    let outstanding = Mutex::new(Outstanding::default());
    loop {
        let address = edges[random.usize(..edges.len())];
        // A connection that ended well has done everything.
        if http_connection(&mut record, &outstanding, address).await.is_ok() {
            return record;
        }
        sleep(PAUSE).await;
    }
}

async fn http_connection(
    record: &mut Record,
    outstanding: &Mutex<Outstanding>,
    address: SocketAddr,
) -> io::Result<()> {
    record.repeated += std::mem::take(&mut outstanding.lock().unwrap().sent) as u64;
    record.connections += 1;
    let target = format!("/v1/streams/{}", record.plan.stream.as_str().replace('/', "%2F"));
    let socket = timeout(ANSWER, http::connect(address, None)).await??;
    let (body, write) = http::begin_post(socket, &target, "application/x-ndjson").await?;
    let answered = Notify::new();
    let plan = record.plan.clone();
    tokio::select! {
        ended = take_answers(body, record, outstanding, &answered) => ended,
        error = send_lines(write, plan, outstanding, &answered) => Err(error),
    }
}

/// Sends lines as the quota and the window allow, and ends the body behind the last. Returns only on an error.
async fn send_lines(
    mut write: OwnedWriteHalf,
    mut plan: Plan,
    outstanding: &Mutex<Outstanding>,
    answered: &Notify,
) -> io::Error {
    let mut out = Vec::with_capacity(2 * WRITE_BYTES);
    loop {
        let quota = *plan.quota.borrow_and_update();
        out.clear();
        let finished = {
            let mut state = outstanding.lock().unwrap();
            while out.len() < WRITE_BYTES && state.next_line(quota.events) {
                let number = state.numbers[state.sent - 1];
                http::push_chunk(&mut out, line(plan.number, number).as_bytes());
            }
            quota.last && state.numbers.is_empty() && state.next == quota.events
        };
        if finished {
            http::push_chunk(&mut out, b"");
        }
        if let Err(error) = write.write_all(&out).await {
            return error;
        }
        if finished {
            // The end of the response is awaited by the other half.
            return std::future::pending().await;
        }
        if out.is_empty() {
            tokio::select! {
                () = answered.notified() => {}
                _ = plan.quota.changed() => {}
            }
        }
    }
}

impl Outstanding {
    /// Moves on to the next line to send, one that was sent before or a new one; `false` if none may be sent now.
    fn next_line(&mut self, quota: u32) -> bool {
        if self.sent == self.numbers.len() {
            if self.next == quota || self.numbers.len() >= WINDOW {
                return false;
            }
            self.numbers.push_back(self.next);
            self.next += 1;
        }
        self.sent += 1;
        true
    }
}

fn line(producer: u16, number: u32) -> String {
    let data = events::json(producer, number);
    format!("{{\"event\":\"e{producer}\",\"data\":{data},\"key\":\"{producer}-{number}\"}}\n")
}

#[derive(Debug, Deserialize)]
struct Answer {
    id: Option<String>,
    error: Option<serde_json::Value>,
}

/// One answer for each line, in order.
async fn take_answers(
    mut body: Body<OwnedReadHalf>,
    record: &mut Record,
    outstanding: &Mutex<Outstanding>,
    answered: &Notify,
) -> io::Result<()> {
    let mut in_body = false;
    loop {
        let line = {
            let read = async {
                if in_body {
                    return body.line().await.map(Some);
                }
                body.read_head().await.map(|()| None)
            };
            tokio::pin!(read);
            loop {
                match timeout(ANSWER, &mut read).await {
                    Ok(line) => break line?,
                    // Nothing was asked, so nothing was answered.
                    Err(_) if outstanding.lock().unwrap().sent == 0 => {}
                    Err(silent) => return Err(silent.into()),
                }
            }
        };
        match line {
            None => in_body = true,
            Some(None) => {
                let state = outstanding.lock().unwrap();
                let quota = *record.plan.quota.borrow();
                let done = quota.last && state.numbers.is_empty() && state.next == quota.events;
                return if done {
                    Ok(())
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
            Some(Some(line)) => take_answer(&line, record, outstanding)?,
        }
        answered.notify_one();
    }
}

fn take_answer(line: &[u8], record: &mut Record, outstanding: &Mutex<Outstanding>) -> io::Result<()> {
    let answer: Answer = serde_json::from_slice(line)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(line)));
    let Some(id) = answer.id else {
        record.refused += 1;
        return Err(io::Error::other(format!("{:?}", answer.error)));
    };
    let mut state = outstanding.lock().unwrap();
    assert!(state.sent > 0, "an answer to nothing");
    let number = state.numbers.pop_front().unwrap();
    state.sent -= 1;
    record.acknowledge(number, id.parse().unwrap());
    Ok(())
}
