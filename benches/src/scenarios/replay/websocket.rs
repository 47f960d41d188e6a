//! A subscription on `/v1/ws`, from the start.

use anyhow::{bail, ensure};

use super::Reader;
use crate::load::frame;

/// Reads until the subscription has caught up.
pub(super) struct WebSocket {
    subscribe: Vec<u8>,
    events: u64,
    caught_up: bool,
    greeted: bool,
}

impl WebSocket {
    /// Puts the handshake into `out`.
    pub(super) fn open(stream: &str, host: &str, out: &mut Vec<u8>) -> Self {
        frame::write_handshake(out, "/v1/ws", host);
        let mut subscribe = Vec::new();
        frame::write(&mut subscribe, frame::TEXT, |out| {
            let text = format!(r#"{{"type":"subscribe","stream":"{stream}","from":"start"}}"#);
            out.extend_from_slice(text.as_bytes());
        });
        Self {
            subscribe,
            events: 0,
            caught_up: false,
            greeted: false,
        }
    }
}

impl Reader for WebSocket {
    fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> anyhow::Result<usize> {
        let mut at = 0;
        if !self.greeted {
            let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
                return Ok(0);
            };
            ensure!(bytes.starts_with(b"HTTP/1.1 101 "), "no WebSocket");
            self.greeted = true;
            out.append(&mut self.subscribe);
            at = end + 4;
        }
        while let Some(frame) = frame::first(&bytes[at..])? {
            at += frame.length;
            match (frame.opcode, frame.payload) {
                (frame::TEXT, text) if text.starts_with(br#"{"type":"event""#) => self.events += 1,
                (frame::TEXT, text) if text.starts_with(br#"{"type":"caught_up""#) => self.caught_up = true,
                (frame::TEXT, text) if text.starts_with(br#"{"type":"subscribed""#) => {}
                (frame::PING, text) => frame::write(out, frame::PONG, |out| out.extend_from_slice(text)),
                (_, text) => bail!("the edge sends {}", String::from_utf8_lossy(text)),
            }
        }
        Ok(at)
    }

    fn events(&self) -> u64 {
        self.events
    }

    fn is_done(&self) -> bool {
        self.caught_up
    }
}
