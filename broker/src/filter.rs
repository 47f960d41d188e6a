//! Which events a subscriber wants: by event name and by a regular expression over the stored data.

use regex::bytes::{Regex, RegexBuilder};
use shared::Event;

/// Bytes that one compiled expression may take.
const REGEX_BYTES_MAX: usize = 1024 * 1024;

/// Lets through the events that satisfy both parts. The expression is matched in linear time.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    events: Vec<String>,
    pattern: Option<Regex>,
}

impl Filter {
    /// A filter from event names (any of them; none: all) and an expression over the raw data (none: all).
    pub fn new(events: Vec<String>, pattern: Option<&str>) -> Result<Self, FilterError> {
        let compile = |text| RegexBuilder::new(text).size_limit(REGEX_BYTES_MAX).build();
        let pattern = pattern
            .map(compile)
            .transpose()
            .map_err(|e| FilterError(one_line(&e.to_string())))?;
        Ok(Self { events, pattern })
    }

    /// Whether every event passes.
    pub fn passes_all(&self) -> bool {
        self.events.is_empty() && self.pattern.is_none()
    }

    /// Whether this event passes.
    pub fn passes(&self, event: &Event) -> bool {
        (self.events.is_empty() || self.events.iter().any(|name| name == event.name()))
            && self
                .pattern
                .as_ref()
                .is_none_or(|pattern| pattern.is_match(event.data.raw()))
    }
}

/// The regular-expression crate draws a picture over several lines; an error of ours is one line.
fn one_line(text: &str) -> String {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// The expression cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a regular expression: {0}")]
pub struct FilterError(String);
