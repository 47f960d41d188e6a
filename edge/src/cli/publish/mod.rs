//! `weir publish`: one event, or one for each line of standard input, over every cut of the connection.
//!
//! * [`args`] is what can be asked; [`one`] publishes one event;
//! * [`input`] reads lines, [`encode`] makes events of them;
//! * [`window`] keeps them until they are acknowledged, [`order`] watches where they went;
//! * [`exchange`] is one request of lines and its [`answer`]s, `producer` one request after the other;
//! * [`progress`] tells people about it.

mod answer;
mod args;
mod encode;
mod exchange;
mod input;
mod one;
mod order;
mod producer;
mod progress;
mod window;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use shared::limits::{CLIENT_STOP_GRACE, PUBLISH_ANSWER_TIMEOUT};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

pub use self::args::PublishArgs;
use self::encode::Encoder;
use self::producer::{Producer, ProducerEnd};
use self::progress::{Counts, Progress};
use self::window::Window;
use super::Failure;
use super::client::Edge;
use super::outage::Outage;
use super::stop::{Stop, StopSignal};
use super::terminal::Notice;

/// Exit status where lines were refused.
const EXIT_REFUSED: u8 = 1;
/// Exit status where everything was published, but not in order.
const EXIT_OUT_OF_ORDER: u8 = 3;

/// Runs `weir publish`.
pub async fn run(args: PublishArgs) -> Result<ExitCode, Failure> {
    let edge = Edge::new(&args.url)?;
    if let Some(data) = &args.data {
        one::publish(&args, &edge, data).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut stop = Stop::listen()?;
    let mut producer = producer(&args, edge)?;
    let mut stopped = None;
    let end = {
        let token = producer.stop.clone();
        let mut run = std::pin::pin!(producer.run());
        tokio::select! {
            end = &mut run => Some(end),
            signal = stop.requested() => {
                stopped = Some(signal);
                token.cancel();
                // What is on its way may still be acknowledged, unless somebody is in a hurry.
                tokio::select! {
                    end = &mut run => Some(end),
                    () = sleep(CLIENT_STOP_GRACE) => None,
                    _ = stop.requested() => None,
                }
            }
        }
    };
    report(&args, &producer, end, stopped)
}

fn producer(args: &PublishArgs, edge: Edge) -> Result<Producer, Failure> {
    let url = edge.stream_url(&args.name)?;
    let encoder = Encoder::new(args.event.as_deref(), &args.key_prefix()?, args.json);
    let from_terminal = std::io::stdin().is_terminal();
    let progress = Progress::new(std::io::stderr().is_terminal() && !from_terminal);
    if from_terminal {
        Notice::plain("each line is published as one event; Ctrl-D ends").print();
    }
    let input =
        input::start(encoder).map_err(|e| Failure::Runtime(format!("cannot read standard input: {e}")))?;
    let teller = progress.clone();
    Ok(Producer {
        outage: Outage::new(edge.shown(), args.retry_for, move |notice| teller.say(notice)),
        edge,
        url,
        durability: args.durability,
        input,
        input_ended: false,
        input_failure: None,
        stop: CancellationToken::new(),
        window: Window::default(),
        counts: Counts::default(),
        progress,
        answer_timeout: args.answer_timeout.unwrap_or(PUBLISH_ANSWER_TIMEOUT),
        stop_on_error: args.stop_on_error,
        short_requests: false,
        is_connected: false,
        in_doubt_since: None,
    })
}

/// Sums up, and gives the exit status.
fn report(
    args: &PublishArgs,
    producer: &Producer,
    end: Option<ProducerEnd>,
    stopped: Option<StopSignal>,
) -> Result<ExitCode, Failure> {
    let counts = &producer.counts;
    let summary = producer.progress.finish(counts, args.name.as_str());
    Notice::plain(summary).print();
    if counts.misplaced > 0 {
        let text = "do not stand where they stand in the input: the log was away, and took later ones first";
        Notice::loud(format!("ORDER: {} of them {text}", counts.misplaced)).print();
    }
    if let Some((first, last)) = producer.window.span() {
        let text = format!(
            "{} unacknowledged (lines {first} to {last}): they may have been published or not",
            producer.window.unacknowledged()
        );
        let advice = match &args.key {
            Some(_) => "; the same --key with the same lines makes up for it",
            None => "",
        };
        Notice::loud(format!("{text}{advice}")).print();
    }
    if let Some(ProducerEnd::Failed(why)) = end {
        return Err(Failure::Runtime(why));
    }
    if let Some(why) = &producer.input_failure {
        return Err(Failure::Runtime(format!("cannot read standard input: {why}")));
    }
    Ok(match stopped {
        Some(signal) => signal.exit_code(),
        None if counts.refused > 0 => ExitCode::from(EXIT_REFUSED),
        None if counts.misplaced > 0 => ExitCode::from(EXIT_OUT_OF_ORDER),
        None => ExitCode::SUCCESS,
    })
}
