//! The `weir` binary: arguments in, exit status out. Everything else is in the library.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let args = edge::cli::Args::parse();
    match edge::cli::run(args) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("weir: {failure}");
            failure.exit_code()
        }
    }
}
