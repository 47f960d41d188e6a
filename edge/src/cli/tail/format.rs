//! An event as it is printed: for people, as JSON, or its data alone. It writes into memory and does no I/O.

use anstyle::{AnsiColor, Effects, Style};
use bytes::Bytes;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::line::Event;
use crate::cli::terminal::{neutral, neutral_lines};

/// Streams whose names are longer do not widen the column of the others.
const STREAM_COLUMN_CHARS_MAX: usize = 32;

/// In which form events are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum OutputFormat {
    /// For people: the time, the stream if there are several, the event's name if it has one, and the data.
    Pretty,
    /// The event as one line of JSON, byte for byte as the edge sent it.
    Json,
    /// The data alone: of a JSON string its text, of any other value its JSON.
    Raw,
}

/// Prints events in one form.
#[derive(Debug)]
pub(super) struct Formatter {
    format: OutputFormat,
    /// Whether a terminal shows it, which data must not steer.
    to_terminal: bool,
    colour: bool,
    zone: TimeZone,
    /// Width of the column of stream names; 0: no such column.
    stream_chars: usize,
}

impl Formatter {
    /// A formatter for a tail of these streams.
    pub(super) fn new<'a>(
        format: OutputFormat,
        zone: TimeZone,
        streams: impl Iterator<Item = &'a str>,
    ) -> Self {
        let lengths: Vec<usize> = streams.map(str::len).collect();
        let widest = lengths.iter().copied().max().unwrap_or(0);
        Self {
            format,
            to_terminal: false,
            colour: false,
            zone,
            stream_chars: if lengths.len() > 1 {
                widest.min(STREAM_COLUMN_CHARS_MAX)
            } else {
                0
            },
        }
    }

    /// Says whether a terminal shows the output, and whether it wants colours.
    pub(super) fn for_terminal(mut self, to_terminal: bool, colour: bool) -> Self {
        self.to_terminal = to_terminal;
        self.colour = colour;
        self
    }

    /// Appends the event that `line` holds, with a line feed.
    pub(super) fn push(&self, out: &mut Vec<u8>, event: &Event<'_>, line: &Bytes) {
        match self.format {
            OutputFormat::Pretty => self.push_pretty(out, event),
            OutputFormat::Json => self.push_json(out, line),
            OutputFormat::Raw => self.push_raw(out, event.data),
        }
        out.push(b'\n');
    }

    fn push_pretty(&self, out: &mut Vec<u8>, event: &Event<'_>) {
        let dim = Style::new().effects(Effects::DIMMED);
        match self.time(event.id.ms) {
            Some(time) => self.push_styled(out, dim, &time),
            None => self.push_styled(out, dim, &event.id.to_string()),
        }
        if self.stream_chars > 0 {
            out.push(b' ');
            let name = neutral(&event.stream);
            self.push_styled(out, AnsiColor::Cyan.on_default(), &name);
            out.resize(out.len() + self.stream_chars.saturating_sub(name.len()), b' ');
        }
        if event.name != shared::DEFAULT_EVENT {
            out.push(b' ');
            self.push_styled(out, AnsiColor::Yellow.on_default(), &neutral(&event.name));
        }
        if let Some(user) = &event.user {
            out.push(b' ');
            self.push_styled(
                out,
                AnsiColor::Green.on_default(),
                &format!("<{}>", neutral(user)),
            );
        }
        out.push(b' ');
        match text_of(event.data) {
            Some(text) => out.extend_from_slice(neutral(&text).as_bytes()),
            None => push_compact(out, &neutral(event.data)),
        }
    }

    /// The time for people: in the local zone, or in UTC by RFC 3339.
    fn time(&self, ms: u64) -> Option<String> {
        let time = Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()?;
        if self.zone == TimeZone::UTC {
            return Some(format!("{time:.3}"));
        }
        let local = time.to_zoned(self.zone.clone());
        Some(local.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string())
    }

    fn push_styled(&self, out: &mut Vec<u8>, style: Style, text: &str) {
        use std::io::Write as _;
        // Writing into a vector has no way to fail.
        let _ = match self.colour {
            true => write!(out, "{style}{text}{style:#}"),
            false => write!(out, "{text}"),
        };
    }

    fn push_json(&self, out: &mut Vec<u8>, line: &Bytes) {
        match std::str::from_utf8(line) {
            // `\u009b` in a JSON string says the same as the character, and steers nothing.
            Ok(text) if self.to_terminal => out.extend_from_slice(neutral(text).as_bytes()),
            _ => out.extend_from_slice(line),
        }
    }

    fn push_raw(&self, out: &mut Vec<u8>, data: &str) {
        let text = text_of(data);
        let text = text.as_deref().unwrap_or(data);
        match self.to_terminal {
            true => out.extend_from_slice(neutral_lines(text).as_bytes()),
            false => out.extend_from_slice(text.as_bytes()),
        }
    }
}

/// The text of a JSON string; `None` for any other value.
fn text_of(data: &str) -> Option<String> {
    data.starts_with('"').then(|| serde_json::from_str(data).ok())?
}

/// Appends JSON without the spaces between its tokens.
fn push_compact(out: &mut Vec<u8>, json: &str) {
    let (mut in_string, mut escaped) = (false, false);
    for byte in json.bytes() {
        if !in_string && byte.is_ascii_whitespace() {
            continue;
        }
        out.push(byte);
        in_string = match byte {
            b'"' if !escaped => !in_string,
            _ => in_string,
        };
        escaped = in_string && byte == b'\\' && !escaped;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::super::line::Line;
    use super::*;

    fn printed(formatter: &Formatter, line: &str) -> String {
        let line = Bytes::copy_from_slice(line.as_bytes());
        let Line::Event(event) = Line::parse(&line).unwrap() else {
            unreachable!()
        };
        let mut out = Vec::new();
        formatter.push(&mut out, &event, &line);
        String::from_utf8(out).unwrap()
    }

    fn formatter(format: OutputFormat, streams: &[&str]) -> Formatter {
        Formatter::new(format, TimeZone::UTC, streams.iter().copied())
    }

    const EVENT: &str = r#"{"id":"1700000000123-0","stream":"log:api","event":"edit","data": {"a" : "x \" y", "b":[1, 2]} ,"user":"ada","cursor":"1700000000123-0.7"}"#;

    #[test]
    fn pretty_is_one_line_with_what_matters() {
        let one = formatter(OutputFormat::Pretty, &["log:api"]);
        let expected = "2023-11-14T22:13:20.123Z edit <ada> {\"a\":\"x \\\" y\",\"b\":[1,2]}\n";
        assert_eq!(printed(&one, EVENT), expected);
        let several = formatter(OutputFormat::Pretty, &["log:api", "longer-name"]);
        assert!(printed(&several, EVENT).starts_with("2023-11-14T22:13:20.123Z log:api     edit <ada> {"));
        let text =
            r#"{"id":"1-0","stream":"a","event":"message","data":"GET /\n\u001b[31m","cursor":"1-0.1"}"#;
        assert_eq!(
            printed(&one, text),
            "1970-01-01T00:00:00.001Z GET /\\n\\u001b[31m\n"
        );
    }

    #[test]
    fn colours_only_where_they_are_wanted() {
        let plain = formatter(OutputFormat::Pretty, &["a"]);
        assert!(!printed(&plain, EVENT).contains('\x1b'));
        let coloured = formatter(OutputFormat::Pretty, &["a"]).for_terminal(true, true);
        assert!(printed(&coloured, EVENT).contains("\x1b[33medit\x1b[0m"));
    }

    #[test]
    fn local_time_is_that_of_the_zone() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let local = Formatter::new(OutputFormat::Pretty, zone, ["a"].into_iter());
        assert!(printed(&local, EVENT).starts_with("2023-11-15 00:13:20.123 edit"));
        let no_time = r#"{"id":"18446744073709551615-3","stream":"a","data":1,"cursor":"1-0.1"}"#;
        assert_eq!(printed(&local, no_time), "18446744073709551615-3 1\n");
    }

    #[test]
    fn json_is_what_came_and_raw_is_the_data() {
        assert_eq!(
            printed(&formatter(OutputFormat::Json, &["a"]), EVENT),
            format!("{EVENT}\n")
        );
        let raw = formatter(OutputFormat::Raw, &["a"]);
        assert_eq!(printed(&raw, EVENT), "{\"a\" : \"x \\\" y\", \"b\":[1, 2]}\n");
        let text = r#"{"id":"1-0","stream":"a","data":"one\ntwo\u001b[0m","cursor":"1-0.1"}"#;
        assert_eq!(printed(&raw, text), "one\ntwo\x1b[0m\n");
        let raw = formatter(OutputFormat::Raw, &["a"]).for_terminal(true, false);
        assert_eq!(printed(&raw, text), "one\ntwo\\u001b[0m\n");
    }

    #[test]
    fn a_terminal_gets_equal_json_without_controls() {
        let json = formatter(OutputFormat::Json, &["a"]).for_terminal(true, false);
        let line = "{\"id\":\"1-0\",\"stream\":\"a\",\"data\":\"\u{9b}31m\u{7f}\",\"cursor\":\"1\"}";
        let shown = printed(&json, line);
        assert!(!shown.contains(['\u{9b}', '\u{7f}']));
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&shown), value(line));
    }

    proptest! {
        /// Whatever the data, compact JSON means the same and pretty output is one line that steers nothing.
        #[test]
        fn pretty_data_is_harmless_and_whole(text in any::<String>(), key in any::<String>(), number in any::<f64>()) {
            let value = serde_json::json!({ key: [text, number, null, {"a": [true]}] });
            let mut compact = Vec::new();
            push_compact(&mut compact, &serde_json::to_string_pretty(&value).unwrap());
            prop_assert_eq!(&serde_json::to_vec(&value).unwrap(), &compact);
            let line = serde_json::json!({"id": "1-0", "stream": "a", "event": text, "data": value, "cursor": "1"});
            let shown = printed(&formatter(OutputFormat::Pretty, &["a"]), &line.to_string());
            prop_assert!(!shown.trim_end_matches('\n').contains(|c: char| c.is_control() && c != '\t'));
        }
    }
}
