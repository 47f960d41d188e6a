//! The `weir` binary: arguments in, exit status out. Everything else is in the library.

use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;
use edge::cli::{self, Args, Failure};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let outcome = match Args::try_parse() {
        Ok(args) => cli::run(args),
        Err(error) => explain(&error),
    };
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("weir: {failure}");
            failure.exit_code()
        }
    }
}

/// Help and version are printed as they are; a mistake gets one line.
fn explain(error: &clap::Error) -> Result<ExitCode, Failure> {
    let asked_for_help =
        !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if asked_for_help {
        // Nobody is left to be told that this failed.
        let _ = error.print();
        return Ok(if error.use_stderr() {
            ExitCode::from(2)
        } else {
            ExitCode::SUCCESS
        });
    }
    let text = error.to_string();
    let problem = text.split("\n\n").next().unwrap_or_default();
    let problem = problem.split_whitespace().collect::<Vec<_>>().join(" ");
    let problem = problem.strip_prefix("error: ").unwrap_or(&problem);
    Err(Failure::Usage(format!("{problem} (see weir --help)")))
}
