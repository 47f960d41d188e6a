//! As much of HTTP/1.1 as responses need that never end, or say how long they are.

use anyhow::{Context, bail, ensure};

/// Bytes of a response's head at the most.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a line that says how long a chunk is.
const SIZE_BYTES_MAX: usize = 64;
/// Bytes of a body at the most.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of a line at the most.
const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes of the head at the beginning of `bytes`, once it is whole; an error if the status is another one.
pub(crate) fn head(bytes: &[u8], status: &str) -> anyhow::Result<Option<usize>> {
    let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
        ensure!(
            bytes.len() <= HEAD_BYTES_MAX,
            "the head of the answer does not end"
        );
        return Ok(None);
    };
    let first = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let first = String::from_utf8_lossy(first);
    ensure!(first.split(' ').nth(1) == Some(status), "answered with {first}");
    Ok(Some(end + 4))
}

/// How long the body is that follows a head (RFC 9112, section 6.2).
pub(crate) fn length(head: &[u8]) -> anyhow::Result<usize> {
    const NAME: &[u8] = b"content-length:";
    let mut lines = head.split(|byte| *byte == b'\n');
    let value = lines.find_map(|line| {
        let (name, value) = line.split_at_checked(NAME.len())?;
        name.eq_ignore_ascii_case(NAME).then_some(value)
    });
    let value = value.context("an answer that does not say how long it is")?;
    let length = std::str::from_utf8(value.trim_ascii())?.parse()?;
    ensure!(length <= BODY_BYTES_MAX, "an answer of {length} bytes");
    Ok(length)
}

/// Takes the chunks of a body apart (RFC 9112, section 7.1).
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    /// Bytes of the chunk that are still to come, with the line break behind it.
    left: usize,
}

impl Chunks {
    /// Hands the data in `bytes` to `data`, and returns how many bytes it has dealt with; the rest is to be presented
    /// again with what follows it.
    pub(crate) fn feed(
        &mut self,
        bytes: &[u8],
        mut data: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<usize> {
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            if self.left == 0 {
                let Some(end) = memchr::memchr(b'\n', rest) else {
                    ensure!(rest.len() <= SIZE_BYTES_MAX, "a chunk without a length");
                    return Ok(at);
                };
                let digits = std::str::from_utf8(rest[..end].trim_ascii_end())?;
                let size = usize::from_str_radix(digits, 16).context("the length of a chunk")?;
                if size == 0 {
                    bail!("the response has ended");
                }
                self.left = size.checked_add(2).context("the length of a chunk")?;
                at += end + 1;
                continue;
            }
            let here = rest.len().min(self.left);
            if here == 0 {
                return Ok(at);
            }
            // The last two bytes are the line break.
            let content = here.min(self.left.saturating_sub(2));
            if content > 0 {
                data(&rest[..content])?;
            }
            self.left -= here;
            at += here;
        }
    }
}

/// Joins lines that come in pieces.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    /// Hands every whole line, without its line break, to `line`.
    pub(crate) fn feed(
        &mut self,
        mut bytes: &[u8],
        mut line: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            if self.begun.is_empty() {
                line(&bytes[..end])?;
            } else {
                self.begun.extend_from_slice(&bytes[..end]);
                line(&self.begun)?;
                self.begun.clear();
            }
            bytes = &bytes[end + 1..];
        }
        ensure!(
            self.begun.len() + bytes.len() <= LINE_BYTES_MAX,
            "a line does not end"
        );
        self.begun.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_however_the_bytes_are_cut() {
        let body = b"5\r\none\nt\r\n1\r\nw\r\nA\r\no\n\nthree\nf\r\n";
        for size in 1..body.len() {
            let (mut chunks, mut lines, mut got) = (Chunks::default(), Lines::default(), Vec::new());
            let mut waiting = Vec::new();
            for piece in body.chunks(size) {
                waiting.extend_from_slice(piece);
                let done = chunks.feed(&waiting, |data| {
                    lines.feed(data, |line| {
                        got.push(String::from_utf8(line.to_vec())?);
                        Ok(())
                    })
                });
                waiting.drain(..done.unwrap());
            }
            assert_eq!(got, ["one", "two", "", "three"], "{size}");
        }
    }

    #[test]
    fn an_end_and_nonsense_are_errors() {
        for body in [&b"0\r\n\r\n"[..], b"x\r\n", b"ffffffffffffffff\r\n", &[b'1'; 100]] {
            assert!(Chunks::default().feed(body, |_| Ok(())).is_err(), "{body:?}");
        }
    }

    #[test]
    fn a_body_is_as_long_as_its_head_says() {
        assert_eq!(
            length(b"HTTP/1.1 200 OK\r\na: b\r\nContent-LENGTH:  12 \r\n\r\n").unwrap(),
            12
        );
        for head in [
            &b"HTTP/1.1 200 OK\r\n\r\n"[..],
            b"content-length: x\r\n",
            b"content-length: 99999999999\r\n",
        ] {
            assert!(length(head).is_err());
        }
    }

    #[test]
    fn the_status_decides() {
        let answer = b"HTTP/1.1 200 OK\r\na: b\r\n\r\nbody";
        assert_eq!(head(answer, "200").unwrap(), Some(answer.len() - 4));
        assert_eq!(head(&answer[..20], "200").unwrap(), None);
        assert!(head(answer, "101").is_err());
        assert!(head(&[b'x'; HEAD_BYTES_MAX + 1], "200").is_err());
    }
}
