//! Over a WebSocket: several events on their way at once.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_websockets::{ClientBuilder, CloseCode, MaybeTlsStream, Message, WebSocketStream};

use super::{Answer, HUNG, Ledger, Outcome, PACE, PAUSE, Record};
use crate::events;

/// Events that are sent ahead of their answers.
const WINDOW: usize = 8;
/// The edge is going away, and has answered all that it has taken.
const GOING_AWAY: u16 = 1012;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Events without an answer, and when they were sent.
type InFlight = BTreeMap<u32, Instant>;

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    Done,
    /// The edge is going away and has answered all that it has taken.
    GoingAway,
    Lost,
}

pub(super) async fn publish(mut ledger: Ledger) -> Record {
    while !ledger.is_done() {
        let mut in_flight = InFlight::new();
        let ended = match timeout(HUNG, open(ledger.edge())).await {
            Ok(Ok(mut socket)) => converse(&mut socket, &mut ledger, &mut in_flight).await,
            _ => Ended::Lost,
        };
        let outcome = match ended {
            Ended::GoingAway => Outcome::Refused,
            _ => Outcome::Doubtful,
        };
        for (number, at) in in_flight {
            ledger.settle(number, at, outcome);
        }
        if ended != Ended::Done {
            ledger.next_edge();
            sleep(PAUSE).await;
        }
    }
    ledger.record
}

async fn open(edge: SocketAddr) -> io::Result<Socket> {
    let socket = TcpStream::connect(edge).await?;
    socket.set_nodelay(true)?;
    let builder = ClientBuilder::new()
        .uri("ws://weir.test/v1/ws")
        .map_err(io::Error::other)?;
    let opened = builder.connect_on(MaybeTlsStream::Plain(socket)).await;
    Ok(opened.map_err(io::Error::other)?.0)
}

async fn converse(socket: &mut Socket, ledger: &mut Ledger, in_flight: &mut InFlight) -> Ended {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        if ledger.is_done() && in_flight.is_empty() {
            return Ended::Done;
        }
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(message)) if message.is_close() => {
                    let code = message.as_close().map(|(code, _)| code);
                    return match code == CloseCode::try_from(GOING_AWAY).ok() {
                        true => Ended::GoingAway,
                        false => Ended::Lost,
                    };
                }
                Some(Ok(message)) => if let Some(text) = message.as_text() {
                    take_answer(text, ledger, in_flight);
                },
                Some(Err(_)) | None => return Ended::Lost,
            },
            _ = pace.tick() => {
                if in_flight.values().any(|at| at.elapsed() >= HUNG) {
                    return Ended::Lost;
                }
                if in_flight.len() < WINDOW
                    && let Some(number) = ledger.take()
                {
                    in_flight.insert(number, Instant::now());
                    if socket.send(frame(ledger, number)).await.is_err() {
                        return Ended::Lost;
                    }
                }
            }
        }
    }
}

fn frame(ledger: &Ledger, number: u32) -> Message {
    let plan = &ledger.record.plan;
    let (stream, data) = (&plan.stream, events::json(plan.number, number));
    let key = ledger.key(number);
    let key = key.map(|key| format!(",\"key\":\"{key}\"")).unwrap_or_default();
    Message::text(format!(
        "{{\"type\":\"publish\",\"ref\":{number},\"stream\":\"{stream}\",\"data\":{data}{key}}}"
    ))
}

fn take_answer(text: &str, ledger: &mut Ledger, in_flight: &mut InFlight) {
    let answer: Result<Answer, _> = serde_json::from_str(text);
    let known = answer.ok().and_then(|answer| {
        let number = answer.reference?;
        Some((number, in_flight.remove(&number)?, answer))
    });
    let Some((number, at, answer)) = known else {
        return ledger.record.strange.push(text.to_owned());
    };
    let outcome = ledger.outcome(&answer);
    ledger.settle(number, at, outcome);
}
