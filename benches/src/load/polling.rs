//! Engine.IO over HTTP long polling (Engine.IO protocol, version 4, "HTTP long-polling"), without any I/O. All of it goes over one
//! connection, one request after the other: what a follower says, it says while it does not wait.

use std::io::Write as _;

use anyhow::{Context, bail};

use super::http::{head, length};

/// What stands between the packets of a body.
const SEPARATOR: u8 = 0x1e;

/// One client.
#[derive(Debug)]
pub(super) struct Polling {
    host: String,
    /// The server's name for the session. Empty: it has not been given yet.
    sid: String,
    /// Packets that are to be posted.
    unsent: Vec<u8>,
    /// Whether what is awaited is the answer to a POST.
    posting: bool,
}

impl Polling {
    /// A client of `host`, and what it sends first.
    pub(super) fn open(host: &str, out: &mut Vec<u8>) -> Self {
        let polling = Self {
            host: host.to_owned(),
            sid: String::new(),
            unsent: Vec::new(),
            posting: false,
        };
        polling.get(out);
        polling
    }

    /// The packets of the answer at the beginning of `bytes`, and how long that answer is, once it is whole.
    pub(super) fn answer<'a>(
        &mut self,
        bytes: &'a [u8],
    ) -> anyhow::Result<Option<(usize, impl Iterator<Item = &'a [u8]> + use<'a>)>> {
        let Some(begin) = head(bytes, "200")? else {
            return Ok(None);
        };
        let end = begin + length(&bytes[..begin])?;
        let Some(body) = bytes.get(begin..end) else {
            return Ok(None);
        };
        if self.sid.is_empty() {
            self.sid = sid(body)?;
        }
        // A POST is answered with "ok".
        let packets = body
            .split(|byte| *byte == SEPARATOR)
            .filter(|packet| !packet.is_empty());
        Ok(Some((
            end,
            packets.take(if self.posting { 0 } else { usize::MAX }),
        )))
    }

    /// Has a packet posted.
    pub(super) fn say(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if !self.unsent.is_empty() {
            self.unsent.push(SEPARATOR);
        }
        write(&mut self.unsent);
    }

    /// Appends the next request, once the last one is answered.
    pub(super) fn next(&mut self, out: &mut Vec<u8>) {
        self.posting = !self.unsent.is_empty();
        if !self.posting {
            return self.get(out);
        }
        let Self {
            host, sid, unsent, ..
        } = self;
        // Writing to memory does not fail.
        let _ = write!(
            out,
            "POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nhost: {host}\r\n\
             content-type: text/plain;charset=UTF-8\r\ncontent-length: {}\r\n\r\n",
            unsent.len()
        );
        out.append(unsent);
    }

    fn get(&self, out: &mut Vec<u8>) {
        let Self { host, sid, .. } = self;
        let session = if sid.is_empty() { "" } else { "&sid=" };
        let _ = write!(
            out,
            "GET /socket.io/?EIO=4&transport=polling{session}{sid} HTTP/1.1\r\nhost: {host}\r\n\r\n"
        );
    }
}

/// The session's name, in the packet that opens it.
fn sid(body: &[u8]) -> anyhow::Result<String> {
    #[derive(serde::Deserialize)]
    struct Opened {
        sid: String,
    }
    let Some((b'0', json)) = body.split_first() else {
        bail!("the server opens with {}", String::from_utf8_lossy(body));
    };
    let opened: Opened = serde_json::from_slice(json).context("the packet that opens a session")?;
    Ok(opened.sid)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn answered(polling: &mut Polling, body: &str) -> Vec<String> {
        let bytes = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        for cut in 0..bytes.len() {
            assert!(polling.answer(&bytes.as_bytes()[..cut]).unwrap().is_none());
        }
        let longer = bytes.clone() + "HTTP";
        let (length, packets) = polling.answer(longer.as_bytes()).unwrap().unwrap();
        assert_eq!(length, bytes.len());
        packets
            .map(|packet| String::from_utf8(packet.to_vec()).unwrap())
            .collect()
    }

    fn next(polling: &mut Polling) -> String {
        let mut out = Vec::new();
        polling.next(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn it_posts_what_it_has_to_say_and_polls_otherwise() {
        let mut out = Vec::new();
        let mut polling = Polling::open("h", &mut out);
        assert!(out.starts_with(b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\n"));
        let opened = answered(&mut polling, r#"0{"sid":"s1","pingInterval":1}"#);
        assert_eq!(opened.len(), 1);
        polling.say(|out| out.extend_from_slice(b"40"));
        polling.say(|out| out.extend_from_slice(b"3"));
        let post = next(&mut polling);
        assert!(post.starts_with("POST /socket.io/?EIO=4&transport=polling&sid=s1 HTTP/1.1\r\n"));
        assert!(post.ends_with("content-length: 4\r\n\r\n40\u{1e}3"));
        assert_eq!(answered(&mut polling, "ok"), [] as [&str; 0]);
        assert!(next(&mut polling).starts_with("GET /socket.io/?EIO=4&transport=polling&sid=s1 "));
        assert_eq!(answered(&mut polling, "42[1]\u{1e}2"), ["42[1]", "2"]);
    }

    #[test]
    fn what_opens_no_session_is_an_error() {
        for body in ["", "1", "0", "0{}"] {
            let mut polling = Polling::open("h", &mut Vec::new());
            let bytes = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            assert!(polling.answer(bytes.as_bytes()).is_err(), "{body}");
        }
    }
}
