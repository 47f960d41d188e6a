//! `weir check-config`: everything that is wrong with a configuration, or what is in effect.

use std::process::ExitCode;

use super::Failure;
use super::serve::{self, ServeArgs};

/// Arguments of `weir check-config`: those of `weir serve`, from which it reads the same.
#[derive(Debug, Default, clap::Args)]
pub struct CheckConfigArgs {
    /// What would be served.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// Prints the configuration as a file that sets every option, without its secrets; or each mistake in one line.
/// Starts nothing and connects to nothing.
pub fn run(args: CheckConfigArgs) -> Result<ExitCode, Failure> {
    let config = match serve::configure(args.serve) {
        Ok(config) => config,
        Err(errors) => {
            for error in errors.iter() {
                eprintln!("weir: {error}");
            }
            return Ok(ExitCode::from(2));
        }
    };
    let shown = toml::to_string(&config)
        .map_err(|e| Failure::Runtime(format!("the configuration cannot be printed: {e}")))?;
    // Whoever closes the pipe has seen enough.
    let _ = std::io::Write::write_all(&mut std::io::stdout(), shown.as_bytes());
    Ok(ExitCode::SUCCESS)
}
