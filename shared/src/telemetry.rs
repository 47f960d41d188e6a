//! Log set-up: structured lines on standard error.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// Whether a directive list can be read.
pub fn check(filter: &str) -> Result<(), ParseError> {
    EnvFilter::try_new(filter).map(|_| ())
}

/// Starts logging to standard error. `filter` is a `tracing` directive list such as `info,broker=debug`.
///
/// Returns an error if the filter cannot be read; a second call in one process keeps the first set-up.
pub fn init(filter: &str, format: LogFormat) -> Result<(), ParseError> {
    let filter = EnvFilter::try_new(filter)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A set-up that is already there (tests in one process) is not an error worth stopping for.
    let _ = match format {
        LogFormat::Text => builder
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{LogFormat, check, init};

    #[test]
    fn a_filter_that_cannot_be_read_is_an_error_and_a_second_set_up_is_not() {
        assert!(check("broker=loud").is_err());
        assert!(check("info,broker=debug").is_ok());
        assert!(init("broker=loud", LogFormat::Text).is_err());
        assert!(init("info,broker=debug", LogFormat::Text).is_ok());
        assert!(init("info", LogFormat::Json).is_ok());
    }
}
