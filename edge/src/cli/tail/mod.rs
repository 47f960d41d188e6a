//! `weir tail`: follows streams of an edge and prints their events, over every cut of the connection.
//!
//! * [`args`] is what can be asked;
//! * [`connection`] holds one connection after the other, each going on where the last was cut;
//! * [`follower`] knows what has been told so far and turns [`line`]s into [`format`]ted output;
//! * [`output`] writes it, and knows what has gone out;
//! * [`resume`] keeps that across restarts, [`hint`] says how to go on.

mod args;
mod connection;
mod follower;
mod format;
mod hint;
mod keeper;
mod line;
mod output;
mod resume;

use std::process::ExitCode;

use shared::limits::{CLIENT_HEARTBEAT_TIMEOUT, CLIENT_STOP_GRACE};

pub use self::args::TailArgs;
use self::connection::{TailEnd, Tailer};
use self::follower::Follower;
pub use self::format::OutputFormat;
use self::keeper::Keeper;
use self::output::{Output, Written};
use self::resume::ResumeFile;
use super::Failure;
use super::client::Edge;
use super::outage::Outage;
use super::stop::{Stop, StopSignal};
use super::terminal::Notice;

/// Exit status of a tail that came to its end, but on the way lost events or cannot tell whether it did.
const EXIT_LOSSES: u8 = 3;

/// How a tail ended.
enum End {
    /// Everything that was asked for is written.
    Complete,
    /// Nobody reads the output any more.
    ReaderGone,
    /// It was told to.
    Stopped(StopSignal),
    /// It could not go on.
    Failed(String),
}

/// Runs `weir tail`.
pub async fn run(mut args: TailArgs) -> Result<ExitCode, Failure> {
    let mut stop = Stop::listen()?;
    let edge = Edge::new(&args.url)?;
    args.settle()?;
    let request = args.request(&edge)?;
    let names: Vec<String> = args.names.iter().map(ToString::to_string).collect();
    let (file, cursor) = match &args.resume {
        Some(path) => {
            ResumeFile::open(path, edge.shown(), &names).map(|(file, cursor)| (Some(file), cursor))?
        }
        None => (None, None),
    };
    let mut follower = Follower::new(args.formatter(), args.names.clone(), cursor, args.no_follow);
    let mut output =
        Output::start().map_err(|e| Failure::Runtime(format!("cannot use standard output: {e}")))?;
    let written = output.written();
    let mut keeper = Keeper::new(file, written.clone());
    let tailer = Tailer {
        edge: &edge,
        request,
        heartbeat_timeout: args.heartbeat_timeout.unwrap_or(CLIENT_HEARTBEAT_TIMEOUT),
        follower: &mut follower,
        output: &output,
        outage: Outage::new(edge.shown(), args.retry_for, Notice::print),
    };
    let end = tokio::select! {
        end = tailer.run() => Ok(end),
        signal = stop.requested() => Err(End::Stopped(signal)),
        () = output::reader_gone() => Err(End::ReaderGone),
        never = keeper.run() => match never {},
    };
    let end = conclude(end, &mut output, &mut stop).await;
    let kept = keeper.finish();
    let code = report(end, &args, &edge, &written.borrow(), follower.losses())?;
    kept.map(|()| code)
}

/// Lets the output come to its end: all of it if the tail ended by itself, at once if it was told to stop.
async fn conclude(end: Result<TailEnd, End>, output: &mut Output, stop: &mut Stop) -> End {
    let end = match end {
        Ok(end) => tokio::select! {
            finished = output.finish() => match finished {
                Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => return End::ReaderGone,
                Err(e) => return End::Failed(format!("cannot write the output: {e}")),
                Ok(()) => match end {
                    TailEnd::Failed(why) => return End::Failed(why),
                    TailEnd::Finished | TailEnd::OutputEnded => return End::Complete,
                },
            },
            () = output::reader_gone() => End::ReaderGone,
            signal = stop.requested() => End::Stopped(signal),
        },
        Err(end) => end,
    };
    tokio::select! {
        () = output.stop(CLIENT_STOP_GRACE) => end,
        signal = stop.requested() => End::Stopped(signal),
    }
}

/// Says what there is to say about the end, and gives the exit status.
fn report(
    end: End,
    args: &TailArgs,
    edge: &Edge,
    written: &Written,
    losses: u64,
) -> Result<ExitCode, Failure> {
    match end {
        End::Complete if losses > 0 => Ok(ExitCode::from(EXIT_LOSSES)),
        End::Complete | End::ReaderGone => Ok(ExitCode::SUCCESS),
        End::Stopped(signal) => {
            print_position(args, edge, written);
            Ok(signal.exit_code())
        }
        End::Failed(why) => {
            print_position(args, edge, written);
            Err(Failure::Runtime(why))
        }
    }
}

/// Says where the tail stands, and how to go on from there.
fn print_position(args: &TailArgs, edge: &Edge, written: &Written) {
    let Some(cursor) = &written.cursor else {
        return;
    };
    let cursor = String::from_utf8_lossy(cursor);
    let cursor = super::terminal::neutral(&cursor);
    let program = std::env::args().next().unwrap_or_else(|| "weir".to_owned());
    let command = hint::resume_command(&program, args, &edge.shown(), &cursor);
    let events = match written.events {
        1 => "1 event".to_owned(),
        count => format!("{count} events"),
    };
    Notice::plain(format!(
        "{events} printed, cursor {cursor}; go on with:\n  {command}"
    ))
    .print();
}
