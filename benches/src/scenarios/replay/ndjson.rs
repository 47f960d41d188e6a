//! A tail as NDJSON, from the start. Its lines are counted and looked at as little as a replay allows.

use anyhow::ensure;

use super::Reader;

/// Reads until the tail has caught up.
pub(super) struct Ndjson {
    events: u64,
    caught_up: bool,
    greeted: bool,
}

const CAUGHT_UP: &[u8] = b"\"control\":\"caught_up\"";
/// Longer than a line that tells something, shorter than one that a read must hold.
const HELD_BYTES_MAX: usize = 64 * 1024;

impl Ndjson {
    /// Puts the request into `out`.
    pub(super) fn open(stream: &str, host: &str, out: &mut Vec<u8>) -> Self {
        let request = format!(
            "GET /v1/streams/{stream}?from=start HTTP/1.1\r\nhost: {host}\r\naccept: application/x-ndjson\r\n\r\n"
        );
        out.extend_from_slice(request.as_bytes());
        Self {
            events: 0,
            caught_up: false,
            greeted: false,
        }
    }
}

impl Reader for Ndjson {
    fn feed(&mut self, bytes: &[u8], _out: &mut Vec<u8>) -> anyhow::Result<usize> {
        let mut begin = 0;
        if !self.greeted {
            let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
                return Ok(0);
            };
            ensure!(bytes.starts_with(b"HTTP/1.1 200 "), "the tail is refused");
            self.greeted = true;
            begin = end + 4;
        }
        // A line ends with a brace and a line break; the line breaks between the chunks of the body have no brace before
        // them. A chunk may begin in the middle of a line, which does not change what it ends with.
        let mut taken = begin;
        for end in memchr::memchr_iter(b'\n', &bytes[begin..]).map(|at| begin + at) {
            if end > 0 && bytes[end - 1] == b'}' {
                let line = &bytes[taken..end];
                if memchr::memmem::find(line, b"\"control\":\"").is_some() {
                    let kind = String::from_utf8_lossy(line);
                    ensure!(
                        memchr::memmem::find(line, CAUGHT_UP).is_some(),
                        "the tail tells {kind}"
                    );
                    self.caught_up = true;
                } else {
                    self.events += 1;
                }
                taken = end + 1;
            }
        }
        ensure!(bytes.len() - taken < HELD_BYTES_MAX, "a line does not end");
        Ok(taken)
    }

    fn events(&self) -> u64 {
        self.events
    }

    fn is_done(&self) -> bool {
        self.caught_up
    }
}
