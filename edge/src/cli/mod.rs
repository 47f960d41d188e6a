//! The command line: what can be asked of `weir`, and how a failure ends it.

use std::process::ExitCode;

mod backoff;
mod client;
mod lines;
mod outage;
mod problem;
mod stop;
mod terminal;

pub mod check_config;
pub mod health;
pub mod publish;
pub mod serve;
pub mod tail;

/// A Redis Streams event broker with thin edges.
#[derive(Debug, clap::Parser)]
#[command(name = "weir", version, about, propagate_version = true)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `weir` can do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Run an edge: serve streams over HTTP and WebSocket.
    Serve(serve::ServeArgs),
    /// Check a configuration as `weir serve` would, and print what is in effect.
    CheckConfig(check_config::CheckConfigArgs),
    /// Ask a running edge whether it works.
    Health(health::HealthArgs),
    /// Follow streams and print their events.
    Tail(tail::TailArgs),
    /// Publish one event, or one for each line of standard input.
    Publish(publish::PublishArgs),
}

/// Why a command ended without success: one clear line, and the exit status.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// What was asked cannot be done as it was asked: a flag, a file, a name. Exit status 2.
    #[error("{0}")]
    Usage(String),
    /// It went wrong on the way. Exit status 1.
    #[error("{0}")]
    Runtime(String),
}

impl Failure {
    /// The exit status of the process.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Runtime(_) => ExitCode::from(1),
        }
    }
}

/// Runs the command to its end on a runtime of its own.
pub fn run(args: Args) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::Runtime(format!("cannot start threads: {e}")))?;
    let outcome = runtime.block_on(async {
        match args.command {
            Command::Serve(args) => serve::run(args).await,
            Command::CheckConfig(args) => check_config::run(args),
            Command::Health(args) => health::run(args).await,
            Command::Tail(args) => tail::run(args).await,
            Command::Publish(args) => publish::run(args).await,
        }
    });
    // A read of standard input that never returns must not keep the process.
    runtime.shutdown_background();
    outcome
}

/// Reads a duration such as `30s` of an argument; nothing is no duration.
fn duration(text: &str) -> Result<std::time::Duration, String> {
    match shared::time::parse_duration(text) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("expected a duration such as 30s, 5m or 2h".to_owned()),
    }
}
