//! `weir tail`.

use std::process::ExitCode;

use super::Failure;

/// Arguments of `weir tail`.
#[derive(Debug, clap::Args)]
pub struct TailArgs {}

/// Runs `weir tail`.
pub async fn run(_args: TailArgs) -> Result<ExitCode, Failure> {
    Ok(ExitCode::SUCCESS)
}
