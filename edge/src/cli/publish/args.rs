//! The arguments of `weir publish`.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

use broker::Durability;
use shared::StreamName;
use shared::limits::{EVENT_NAME_BYTES_MAX, IDEMPOTENCY_KEY_BYTES_MAX};

use crate::cli::client::DEFAULT_URL;
use crate::cli::{Failure, duration};

/// Room in a key for a dash and the number of a line.
const LINE_SUFFIX_BYTES_MAX: usize = 21;

const AFTER_HELP: &str = "\
Lines of standard input:
  Each line is one event, sent as soon as it is read. A line of text becomes a JSON string, an empty one the empty
  string; bytes that are not UTF-8 are replaced, and counted at the end. With --json each line is a JSON value, and
  blank lines are passed over. A carriage return before the line feed is left out.

What is published, and how often:
  Every line carries an idempotency key and is kept until the edge has acknowledged it. Whatever is cut (the edge,
  the network, a proxy), unacknowledged lines are sent again, in order, for as long as it takes: nothing is lost,
  and nothing is doubled as long as no outage is longer than the edge remembers keys (10 minutes by default).
  With --key PREFIX the key of a line is PREFIX-<line number>: running the same file again with the same prefix,
  within that time, publishes only what is missing. Use a new prefix for each new content.

Exit status:
  0    everything was published
  1    it could not go on, or lines were refused (each is named on standard error)
  2    it was asked for something that cannot be done
  3    everything was published, but some events in another order (the log refused for a moment; they are counted)
  130  Ctrl-C        143  SIGTERM";

/// Arguments of `weir publish`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER_HELP)]
pub struct PublishArgs {
    /// Stream to publish to
    #[arg(value_name = "NAME")]
    pub name: StreamName,
    /// The data of one event; without it, each line of standard input is an event
    #[arg(value_name = "DATA")]
    pub data: Option<String>,
    /// Name of the events
    #[arg(long, value_name = "EVENT", value_parser = event_name)]
    pub event: Option<String>,
    /// Idempotency key: publishing it again adds nothing. For lines, what their keys begin with [default: random]
    #[arg(long, value_name = "KEY", value_parser = key)]
    pub key: Option<String>,
    /// What must have an event before it counts as published: primary, replicas:N, fsync or fsync:N [default: the edge's
    /// publish.durability]
    #[arg(long, value_name = "DURABILITY")]
    pub durability: Option<Durability>,
    /// The data are JSON, not text
    #[arg(long)]
    pub json: bool,
    /// The edge, or a load balancer before several
    #[arg(long, env = "WEIR_URL", default_value = DEFAULT_URL, hide_env_values = true)]
    pub url: String,
    /// End at the first line that is refused
    #[arg(long)]
    pub stop_on_error: bool,
    /// Take a connection for dead when nothing was answered for so long [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub answer_timeout: Option<Duration>,
    /// Give up when the edge could not be reached for so long [default: never; 30s for DATA]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub retry_for: Option<Duration>,
}

impl PublishArgs {
    /// What the keys of lines begin with.
    pub(super) fn key_prefix(&self) -> Result<String, Failure> {
        let max = IDEMPOTENCY_KEY_BYTES_MAX - LINE_SUFFIX_BYTES_MAX;
        match &self.key {
            Some(key) if key.len() > max => {
                let text = format!("--key has at most {max} characters when lines are published");
                Err(Failure::Usage(text))
            }
            Some(key) => Ok(key.clone()),
            None => Ok(random_key()),
        }
    }
}

/// A key that no other run has.
pub(super) fn random_key() -> String {
    // The keys of the standard library's hasher are the one source of the system's randomness it gives access to.
    let word = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", word(), word())
}

fn key(text: &str) -> Result<String, String> {
    let fits = (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&text.len());
    match fits && text.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "expected 1 to {IDEMPOTENCY_KEY_BYTES_MAX} printable ASCII characters"
        )),
    }
}

fn event_name(text: &str) -> Result<String, String> {
    match text.len() {
        1..=EVENT_NAME_BYTES_MAX => Ok(text.to_owned()),
        _ => Err(format!("expected 1 to {EVENT_NAME_BYTES_MAX} bytes")),
    }
}
