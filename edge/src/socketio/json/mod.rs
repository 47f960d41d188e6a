//! Looks through the JSON of packets without taking it apart: is it one array or object by the grammar of RFC 8259,
//! not nested too deep, and do its placeholders name attachments that exist? What the values are is left to whoever
//! takes them, so numbers may be beyond any type, and escaped surrogates may be lone, as JavaScript's may.
//!
//! It never allocates, except to compare a key that is written with escapes.

mod elements;
#[cfg(test)]
mod tests;
mod text;

use std::ops::Range;

use shared::limits::SIO_DEPTH_MAX;
use shared::wire::plain_bytes;

pub use elements::{Elements, elements};
pub(crate) use text::unquote;

/// Why a text is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not JSON, or not of the kind that was asked for, or something follows it.
    Grammar,
    /// It is nested too deep.
    TooDeep,
    /// A placeholder is malformed or names no attachment.
    Placeholder,
}

/// A container that was looked through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scanned {
    /// Where it ends: white space may follow.
    pub(crate) len: usize,
    /// Where its first element is, if it is an array that has one.
    pub(crate) first: Option<Range<usize>>,
}

/// Looks through `text`, which must be one array (`open` is `[`) or one object (`{`), and begin with it.
///
/// If `attachments` are to follow, every object with a `"_placeholder"` of `true` in it must be a placeholder for one
/// of them: that and a `"num"` below their number, nothing else.
pub(crate) fn scan(text: &[u8], open: u8, attachments: Option<usize>) -> Result<Scanned, Fault> {
    if text.first() != Some(&open) {
        return Err(Fault::Grammar);
    }
    let mut scanner = Scanner {
        text,
        at: 0,
        attachments,
    };
    let first = match open {
        b'[' => scanner.array(SIO_DEPTH_MAX)?,
        _ => scanner.object(SIO_DEPTH_MAX).map(|()| None)?,
    };
    let len = scanner.at;
    scanner.blank();
    if scanner.at < text.len() {
        return Err(Fault::Grammar);
    }
    Ok(Scanned { len, first })
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    attachments: Option<usize>,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        if self.eat(byte) {
            Ok(())
        } else {
            Err(Fault::Grammar)
        }
    }

    fn blank(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// One value, in which at most `depth` containers may be in one another.
    fn value(&mut self, depth: usize) -> Result<(), Fault> {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth).map(drop),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            _ => Err(Fault::Grammar),
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Fault> {
        if !self.text[self.at..].starts_with(word) {
            return Err(Fault::Grammar);
        }
        self.at += word.len();
        Ok(())
    }

    /// An array; returns where its first element is.
    fn array(&mut self, depth: usize) -> Result<Option<Range<usize>>, Fault> {
        let depth = depth.checked_sub(1).ok_or(Fault::TooDeep)?;
        self.expect(b'[')?;
        self.blank();
        if self.eat(b']') {
            return Ok(None);
        }
        let mut first = None;
        loop {
            let start = self.at;
            self.value(depth)?;
            first.get_or_insert(start..self.at);
            self.blank();
            if !self.eat(b',') {
                self.expect(b']')?;
                return Ok(first);
            }
            self.blank();
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), Fault> {
        let depth = depth.checked_sub(1).ok_or(Fault::TooDeep)?;
        self.expect(b'{')?;
        self.blank();
        if self.eat(b'}') {
            return Ok(());
        }
        let mut members = Members::default();
        loop {
            let key = self.string()?;
            self.blank();
            self.expect(b':')?;
            self.blank();
            let start = self.at;
            self.value(depth)?;
            if self.attachments.is_some() {
                members.note(&self.text[key], &self.text[start..self.at]);
            }
            self.blank();
            if !self.eat(b',') {
                self.expect(b'}')?;
                break;
            }
            self.blank();
        }
        match self.attachments {
            Some(attachments) if !members.are_fine(attachments) => Err(Fault::Placeholder),
            _ => Ok(()),
        }
    }

    /// A string; returns where it is, with its quotes.
    fn string(&mut self) -> Result<Range<usize>, Fault> {
        let start = self.at;
        self.expect(b'"')?;
        loop {
            self.at += plain_bytes(&self.text[self.at..]);
            let byte = self.peek().ok_or(Fault::Grammar)?;
            self.at += 1;
            match byte {
                b'"' => return Ok(start..self.at),
                b'\\' => self.escape()?,
                0..0x20 => return Err(Fault::Grammar),
                _ => {}
            }
        }
    }

    fn escape(&mut self) -> Result<(), Fault> {
        let byte = self.peek().ok_or(Fault::Grammar)?;
        self.at += 1;
        match byte {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(()),
            b'u' => {
                let digits = self.text.get(self.at..self.at + 4).ok_or(Fault::Grammar)?;
                self.at += 4;
                let hex = digits.iter().all(u8::is_ascii_hexdigit);
                if hex { Ok(()) } else { Err(Fault::Grammar) }
            }
            _ => Err(Fault::Grammar),
        }
    }

    fn number(&mut self) -> Result<(), Fault> {
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _ = self.eat(b'+') || self.eat(b'-');
            self.digits()?;
        }
        Ok(())
    }

    /// One digit or more.
    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at > start {
            Ok(())
        } else {
            Err(Fault::Grammar)
        }
    }
}

/// What an object's members say about whether it is a placeholder.
#[derive(Default)]
struct Members {
    count: usize,
    marked: bool,
    num: Option<usize>,
}

impl Members {
    fn note(&mut self, key: &[u8], value: &[u8]) {
        self.count += 1;
        match unquote(key).as_ref() {
            "_placeholder" => self.marked |= value == b"true",
            // As digits and nothing else: it is a number of JSON already, so it has no sign and no leading zero.
            "num" => self.num = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()),
            _ => {}
        }
    }

    fn are_fine(&self, attachments: usize) -> bool {
        !self.marked || (self.count == 2 && self.num.is_some_and(|num| num < attachments))
    }
}
