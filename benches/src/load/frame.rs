//! WebSocket frames (RFC 6455, section 5), read where they lie. No extensions, no fragments: nobody who is measured
//! sends any.

use anyhow::ensure;

/// A message is no larger than this.
const PAYLOAD_BYTES_MAX: u64 = 16 * 1024 * 1024;

pub(crate) const TEXT: u8 = 1;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// A frame from a server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) opcode: u8,
    pub(crate) payload: &'a [u8],
    /// Bytes of all of it.
    pub(crate) length: usize,
}

/// The frame at the beginning of `bytes`, if all of it is there.
pub(crate) fn first(bytes: &[u8]) -> anyhow::Result<Option<Frame<'_>>> {
    let [flags, length, rest @ ..] = bytes else {
        return Ok(None);
    };
    ensure!(flags & 0xf0 == 0x80, "a WebSocket frame that is no whole message");
    ensure!(length & 0x80 == 0, "a masked WebSocket frame from a server");
    let (length, head) = match (length, rest) {
        (126, [a, b, ..]) => (u64::from(u16::from_be_bytes([*a, *b])), 4),
        (127, rest) => match rest.first_chunk::<8>() {
            Some(length) => (u64::from_be_bytes(*length), 10),
            None => return Ok(None),
        },
        (126, _) => return Ok(None),
        (length, _) => (u64::from(*length), 2),
    };
    ensure!(
        length <= PAYLOAD_BYTES_MAX,
        "a WebSocket message of {length} bytes"
    );
    let end = head + length as usize;
    Ok(bytes.get(head..end).map(|payload| Frame {
        opcode: flags & 0x0f,
        payload,
        length: end,
    }))
}

/// Appends the request for a WebSocket (section 1.3), whose answer has the status 101.
pub(crate) fn write_handshake(out: &mut Vec<u8>, target: &str, host: &str) {
    let request = format!(
        "GET {target} HTTP/1.1\r\nhost: {host}\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: d2VpciBpcyBtZWFzdXJlZA==\r\n\r\n"
    );
    out.extend_from_slice(request.as_bytes());
}

/// Appends a frame of a client, masked. `content` appends its payload.
pub(crate) fn write(out: &mut Vec<u8>, opcode: u8, content: impl FnOnce(&mut Vec<u8>)) {
    // The head has its longest form that a payload of 64 KiB needs, so that its length can be put in afterwards.
    let begin = out.len();
    out.extend_from_slice(&[0x80 | opcode, 0x80 | 126, 0, 0]);
    let key = fastrand::u32(..).to_ne_bytes();
    out.extend_from_slice(&key);
    content(out);
    let length = out.len() - begin - 8;
    if length < 126 {
        // The protocol wants the shortest form.
        out[begin + 1] = 0x80 | length as u8;
        out.drain(begin + 2..begin + 4);
        mask(&mut out[begin + 6..], key);
        return;
    }
    let length = u16::try_from(length).unwrap_or_else(|_| unreachable!("what is sent is small"));
    out[begin + 2..begin + 4].copy_from_slice(&length.to_be_bytes());
    mask(&mut out[begin + 8..], key);
}

fn mask(payload: &mut [u8], key: [u8; 4]) {
    for chunk in payload.chunks_mut(4) {
        for (byte, key) in chunk.iter_mut().zip(key) {
            *byte ^= key;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn from_server(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x80 | opcode];
        match payload.len() {
            length @ 0..126 => bytes.push(length as u8),
            length @ 126..0x1_0000 => {
                bytes.push(126);
                bytes.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                bytes.push(127);
                bytes.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        bytes.extend_from_slice(payload);
        bytes
    }

    #[test]
    fn a_frame_is_read_once_it_is_whole() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let payload = vec![b'x'; length];
            let mut bytes = from_server(TEXT, &payload);
            let whole = bytes.len();
            for cut in (0..whole.min(20)).chain([whole - 1]) {
                assert_eq!(first(&bytes[..cut]).unwrap(), None, "{length} {cut}");
            }
            bytes.extend_from_slice(b"\x81");
            let frame = first(&bytes).unwrap().unwrap();
            assert_eq!(
                (frame.opcode, frame.payload, frame.length),
                (TEXT, &payload[..], whole)
            );
        }
    }

    #[test]
    fn what_is_no_frame_of_a_server_is_an_error() {
        for bytes in [
            &[0x01, 0][..],
            &[0xc1, 0],
            &[0x81, 0x80],
            &[0x81, 127, 1, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert!(first(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn what_is_written_comes_out_unmasked() {
        for length in [0, 5, 125, 126, 1_000] {
            let payload: Vec<u8> = (0..length).map(|n| n as u8).collect();
            let mut bytes = b"before".to_vec();
            write(&mut bytes, PONG, |out| out.extend_from_slice(&payload));
            let frame = &bytes[6..];
            assert_eq!(frame[0], 0x80 | PONG);
            assert_ne!(frame[1] & 0x80, 0);
            let head = if length < 126 { 2 } else { 4 };
            let key: [u8; 4] = frame[head..head + 4].try_into().unwrap();
            let mut content = frame[head + 4..].to_vec();
            mask(&mut content, key);
            assert_eq!(content, payload);
        }
    }
}
