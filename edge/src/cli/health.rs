//! `weir health`: whether an edge works, as an exit status. A container that has nothing but the binary is watched with it.

use std::process::ExitCode;
use std::time::Duration;

use super::Failure;
use super::client::{DEFAULT_URL, Edge};
use super::problem::{Problem, accepted};

/// Arguments of `weir health`.
#[derive(Debug, clap::Args)]
pub struct HealthArgs {
    /// The edge
    #[arg(long, env = "WEIR_URL", value_name = "URL", default_value = DEFAULT_URL, hide_env_values = true)]
    pub url: String,
    /// Ask whether it can append and tail right now, not only whether it lives
    #[arg(long)]
    pub ready: bool,
    /// How long the answer may take
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = super::duration)]
    pub timeout: Duration,
}

/// Succeeds if the edge says so itself; otherwise the failure has the reason.
pub async fn run(args: HealthArgs) -> Result<ExitCode, Failure> {
    let edge = Edge::new(&args.url)?;
    let url = edge.plain_url(if args.ready { "readyz" } else { "healthz" });
    let answer = async {
        let response = edge.get(url).send().await?;
        accepted(response, "application/json").await
    };
    let problem = match tokio::time::timeout(args.timeout, answer).await {
        Ok(Ok(_)) => return Ok(ExitCode::SUCCESS),
        Ok(Err(Problem::Passing { why, .. } | Problem::Lasting { why, .. })) => why,
        Err(_) => "no answer in time".to_owned(),
    };
    Err(Failure::Runtime(format!("{}: {problem}", edge.shown())))
}
