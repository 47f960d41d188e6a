//! `weir publish`.

use std::process::ExitCode;

use super::Failure;

/// Arguments of `weir publish`.
#[derive(Debug, clap::Args)]
pub struct PublishArgs {}

/// Runs `weir publish`.
pub async fn run(_args: PublishArgs) -> Result<ExitCode, Failure> {
    Ok(ExitCode::SUCCESS)
}
