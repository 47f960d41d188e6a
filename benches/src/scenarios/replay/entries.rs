//! The bare loop: pages of `XRANGE`, of which nothing is kept but the last ID. Replies are walked through where they
//! lie; there is no client library that could be slow.

use anyhow::{bail, ensure};

use super::Reader;

/// Reads a stream to its end.
pub(super) struct Entries {
    key: String,
    page: usize,
    events: u64,
    done: bool,
}

impl Entries {
    /// Puts the first request into `out`.
    pub(super) fn open(key: &str, page: usize, out: &mut Vec<u8>) -> Self {
        let entries = Self {
            key: key.to_owned(),
            page,
            events: 0,
            done: false,
        };
        entries.ask("-", out);
        entries
    }

    fn ask(&self, from: &str, out: &mut Vec<u8>) {
        let page = self.page.to_string();
        let arguments = ["XRANGE", &self.key, from, "+", "COUNT", &page];
        out.extend_from_slice(format!("*{}\r\n", arguments.len()).as_bytes());
        for argument in arguments {
            out.extend_from_slice(format!("${}\r\n{argument}\r\n", argument.len()).as_bytes());
        }
    }
}

impl Reader for Entries {
    fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> anyhow::Result<usize> {
        let mut page = Walk { bytes, at: 0 };
        let Some(count) = page.head(b'*')? else {
            return Ok(0);
        };
        let mut last = None;
        for _ in 0..count {
            let Some(id) = page.entry()? else {
                return Ok(0);
            };
            last = Some(id);
        }
        self.events += count as u64;
        match last {
            Some(id) => self.ask(&format!("({}", std::str::from_utf8(id)?), out),
            None => self.done = true,
        }
        Ok(page.at)
    }

    fn events(&self) -> u64 {
        self.events
    }

    fn is_done(&self) -> bool {
        self.done
    }
}

/// A walk through a reply (RESP2), as far as it is there.
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    /// An entry: its ID, and its fields, which are passed over.
    fn entry(&mut self) -> anyhow::Result<Option<&'a [u8]>> {
        let Some(parts) = self.head(b'*')? else {
            return Ok(None);
        };
        ensure!(parts == 2, "an entry of {parts} parts");
        let Some(id) = self.text()? else {
            return Ok(None);
        };
        let Some(fields) = self.head(b'*')? else {
            return Ok(None);
        };
        for _ in 0..fields {
            if self.text()?.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(id))
    }

    fn text(&mut self) -> anyhow::Result<Option<&'a [u8]>> {
        let Some(length) = self.head(b'$')? else {
            return Ok(None);
        };
        let text = self.bytes.get(self.at..self.at + length + 2);
        self.at += length + 2;
        Ok(text.map(|text| &text[..length]))
    }

    /// The number behind `kind`.
    fn head(&mut self, kind: u8) -> anyhow::Result<Option<usize>> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(end) = memchr::memchr(b'\n', &rest[..rest.len().min(32)]) else {
            return Ok(None);
        };
        let [first, digits @ .., b'\r'] = &rest[..end] else {
            bail!("no reply of Redis");
        };
        ensure!(
            *first == kind,
            "Redis answers {}",
            String::from_utf8_lossy(&rest[..end])
        );
        let mut number = 0;
        for digit in digits {
            ensure!(digit.is_ascii_digit(), "a length that is no number");
            number = number * 10 + usize::from(digit - b'0');
        }
        self.at += end + 1;
        Ok(Some(number))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_counted_once_they_are_whole_and_the_next_one_is_asked_for() {
        let entry = "*2\r\n$3\r\n7-1\r\n*2\r\n$1\r\nd\r\n$4\r\n\r\n$9\r\n";
        let page = format!("*2\r\n{entry}{}", entry.replace("7-1", "7-2"));
        let (mut out, mut again) = (Vec::new(), Vec::new());
        let mut entries = Entries::open("k", 2, &mut out);
        for cut in 0..page.len() {
            assert_eq!(
                entries.feed(&page.as_bytes()[..cut], &mut again).unwrap(),
                0,
                "{cut}"
            );
        }
        assert!(again.is_empty());
        assert_eq!(entries.feed(page.as_bytes(), &mut again).unwrap(), page.len());
        assert_eq!(entries.events(), 2);
        assert_eq!(
            again,
            String::from_utf8(out)
                .unwrap()
                .replace("$1\r\n-", "$4\r\n(7-2")
                .into_bytes()
        );
        assert_eq!(entries.feed(b"*0\r\n", &mut again).unwrap(), 4);
        assert!(entries.is_done());
        assert!(entries.feed(b"-ERR no\r\n", &mut again).is_err());
    }
}
