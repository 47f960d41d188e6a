//! What reaches a terminal: text without control characters, colours only where they are wanted, and notices on
//! standard error. It never writes to standard output.

use std::borrow::Cow;
use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

/// Whether a character could steer a terminal or change the order of what is shown: controls of both blocks, line
/// and paragraph separators, and the marks that turn the writing direction (Unicode TR9, section 2).
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// `text` with everything that could steer a terminal written as `\n`, `\u001b` and so on: one harmless line.
/// A tab stays.
pub(super) fn neutral(text: &str) -> Cow<'_, str> {
    neutral_except(text, &['\t'])
}

/// Like [`neutral`], but line feeds stay as well.
pub(super) fn neutral_lines(text: &str) -> Cow<'_, str> {
    neutral_except(text, &['\t', '\n'])
}

fn neutral_except<'a>(text: &'a str, harmless: &[char]) -> Cow<'a, str> {
    let steers = |c: char| steers(c) && !harmless.contains(&c);
    let Some(first) = text.find(steers) else {
        return Cow::Borrowed(text);
    };
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(&text[..first]);
    for c in text[first..].chars() {
        match c {
            c if !steers(c) => out.push(c),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Writing into a string has no way to fail. None of these characters is above U+FFFF.
            c => drop(write!(out, "\\u{:04x}", u32::from(c))),
        }
    }
    Cow::Owned(out)
}

/// Whether standard output wants colours: a terminal that knows them, unless `NO_COLOR` or `CLICOLOR_FORCE` say
/// otherwise.
pub(super) fn stdout_in_colour() -> bool {
    anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never
}

/// How a notice is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// Good to know.
    Plain,
    /// Something is missing: nobody may overlook it.
    Loud,
}

/// A line for standard error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notice {
    weight: Weight,
    text: String,
}

impl Notice {
    /// A line that is good to know.
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self {
            weight: Weight::Plain,
            text: text.into(),
        }
    }

    /// A line that nobody may overlook.
    pub(super) fn loud(text: impl Into<String>) -> Self {
        Self {
            weight: Weight::Loud,
            text: text.into(),
        }
    }

    /// Writes the notice to standard error; in colours only where those are wanted. If that is closed there is
    /// nobody left to tell.
    pub(super) fn print(&self) {
        use std::io::Write as _;
        let line = match self.weight {
            Weight::Plain => format!("weir: {}\n", self.text),
            Weight::Loud => {
                let style = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
                format!("{style}weir: !!! {}{style:#}\n", self.text)
            }
        };
        // One write a notice: pieces of two processes on one terminal must not mix.
        let _ = anstream::stderr().lock().write_all(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_steers_a_terminal_is_spelled_out() {
        assert_eq!(neutral("plain täxt\tand tab"), "plain täxt\tand tab");
        assert_eq!(
            neutral("a\x1b[2Jb\nc\rd\u{9b}31m\u{7f}"),
            "a\\u001b[2Jb\\nc\\rd\\u009b31m\\u007f"
        );
        assert_eq!(neutral("\u{202e}evil\u{2066}"), "\\u202eevil\\u2066");
        assert_eq!(neutral_lines("a\nb\x07"), "a\nb\\u0007");
    }

    proptest! {
        #[test]
        fn nothing_that_steers_is_left(text in any::<String>()) {
            prop_assert!(!neutral(&text).contains(|c| steers(c) && c != '\t'));
        }
    }
}
