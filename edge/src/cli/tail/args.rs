//! The arguments of `weir tail`, and what they come to.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;
use shared::limits::STREAMS_PER_CURSOR_MAX;
use shared::{StreamName, time};

use super::connection::Request;
use super::format::{Formatter, OutputFormat};
use crate::cli::Failure;
use crate::cli::client::{DEFAULT_URL, Edge};
use crate::cli::{duration, terminal};

const AFTER_HELP: &str = "\
What is printed, and how often:
  While it runs, every event is printed once and in order, however often the connection is cut. When it is
  stopped (Ctrl-C, SIGTERM, --no-follow, --until), the cursor it tells and the --resume file are those of the last
  event that was written out: going on there prints nothing twice and leaves nothing out. When it is killed with
  SIGKILL, or the machine fails, the --resume file may be up to a second older than the output: going on there
  leaves nothing out, and may print the events of that second again (their \"id\" tells).
  Lost events are never passed over in silence: a line beginning with \"weir: !!!\" on standard error says so.

Exit status:
  0    it came to its end (--no-follow, --until), or nobody reads the output any more
  1    it could not go on: the edge refused, --retry-for is over, the output or the --resume file cannot be written
  2    it was asked for something that cannot be done
  3    it came to its end, but events were lost (GAP, RESET) or may have been (UNVERIFIED)
  130  Ctrl-C        143  SIGTERM";

/// Arguments of `weir tail`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER_HELP)]
pub struct TailArgs {
    /// Streams to follow; several are merged in the order of time
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<StreamName>,
    /// The edge, or a load balancer before several
    #[arg(long, env = "WEIR_URL", default_value = DEFAULT_URL, hide_env_values = true)]
    pub url: String,
    /// Begin after a cursor or an entry ID, at the `start`, or `now` [default: now]
    #[arg(long, value_name = "CURSOR|ID|start|now", conflicts_with_all = ["last", "since"])]
    pub from: Option<String>,
    /// Begin with the last N events
    #[arg(long, value_name = "N", conflicts_with = "since")]
    pub last: Option<u64>,
    /// Begin with the events since a time (2026-01-02T03:04:05Z) or a duration ago (15m)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<String>,
    /// End after the events up to a time (2026-01-02T03:04:05Z) or a duration ago (15m)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<String>,
    /// Only events of this name (may be repeated)
    #[arg(long, value_name = "EVENT")]
    pub event: Vec<String>,
    /// Only events whose data, as JSON, matches this regular expression
    #[arg(long, value_name = "RE")]
    pub grep: Option<String>,
    /// How events are printed
    #[arg(long, value_enum, default_value = "pretty")]
    pub output: OutputFormat,
    /// Times in UTC rather than local time
    #[arg(long)]
    pub utc: bool,
    /// Keep the cursor in this file and go on from it after a restart; without the file, begin as told
    #[arg(long, value_name = "FILE")]
    pub resume: Option<PathBuf>,
    /// End when everything that is there has been printed
    #[arg(long)]
    pub no_follow: bool,
    /// Take a connection for dead when nothing, not even a heartbeat, was heard for so long [default: 45s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub heartbeat_timeout: Option<Duration>,
    /// Give up when the edge could not be reached for so long [default: never]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub retry_for: Option<Duration>,
}

/// Checks a time or duration and leaves it as it is.
fn moment(text: &str) -> Result<String, time::TimeError> {
    time::parse_since(text, time::now_ms()).map(|_| text.to_owned())
}

impl TailArgs {
    /// Checks what no single argument shows, and pins down what depends on the time of asking.
    pub(super) fn settle(&mut self) -> Result<(), Failure> {
        let mut seen = std::collections::HashSet::new();
        self.names.retain(|name| seen.insert(name.clone()));
        if self.names.len() > STREAMS_PER_CURSOR_MAX {
            let count = self.names.len();
            let text =
                format!("{count} streams are too many for one tail, {STREAMS_PER_CURSOR_MAX} is the limit");
            return Err(Failure::Usage(text));
        }
        if let Some(until) = &mut self.until {
            // A duration means the time before now. Asked for anew in a later connection it would be another time.
            let now_ms = time::now_ms();
            let mut text = Vec::new();
            if time::parse_since(until, now_ms).is_ok_and(|ms| time::push_rfc3339(&mut text, ms)) {
                *until = String::from_utf8_lossy(&text).into_owned();
            }
        }
        Ok(())
    }

    /// What is asked of the edge.
    pub(super) fn request(&self, edge: &Edge) -> Result<Request, Failure> {
        let mut always = Vec::new();
        let url = match self.names.as_slice() {
            [name] => edge.stream_url(name)?,
            names => {
                always.extend(names.iter().map(|name| ("stream", name.to_string())));
                edge.tail_url()
            }
        };
        always.extend(self.until.iter().map(|until| ("until", until.clone())));
        always.extend(self.event.iter().map(|event| ("event", event.clone())));
        always.extend(self.grep.iter().map(|pattern| ("match", pattern.clone())));
        let from = self.from.clone().map(|from| ("from", from));
        let last = self.last.map(|count| ("last", count.to_string()));
        let since = self.since.clone().map(|since| ("since", since));
        Ok(Request {
            url,
            always,
            begin: from.or(last).or(since),
        })
    }

    /// How events are printed.
    pub(super) fn formatter(&self) -> Formatter {
        let zone = if self.utc {
            TimeZone::UTC
        } else {
            TimeZone::system()
        };
        let streams = self.names.iter().map(StreamName::as_str);
        let to_terminal = std::io::stdout().is_terminal();
        Formatter::new(self.output, zone, streams).for_terminal(to_terminal, terminal::stdout_in_colour())
    }
}
