//! WebSocket frames (RFC 6455, section 5): whole messages only, which is what clients send.

/// Bytes of a message at the most.
const PAYLOAD_BYTES_MAX: usize = 1 << 20;

pub(crate) const TEXT: u8 = 1;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// A frame of a client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) opcode: u8,
    /// Unmasked.
    pub(crate) payload: &'a [u8],
    /// Bytes of all of it.
    pub(crate) length: usize,
}

/// Something that is not the whole message of a client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The frame at the beginning of `bytes`, if all of it is there. Unmasks it where it lies.
pub(crate) fn first(bytes: &mut [u8]) -> Result<Option<Frame<'_>>, Malformed> {
    let [flags, length, rest @ ..] = &*bytes else {
        return Ok(None);
    };
    // The last fragment, no extension, masked.
    if flags & 0xf0 != 0x80 || length & 0x80 == 0 {
        return Err(Malformed);
    }
    let opcode = flags & 0x0f;
    let (length, begin) = match (length & 0x7f, rest) {
        (126, [a, b, ..]) => (usize::from(u16::from_be_bytes([*a, *b])), 8),
        (127, rest) => match rest.first_chunk::<8>() {
            Some(length) => (
                usize::try_from(u64::from_be_bytes(*length)).unwrap_or(usize::MAX),
                14,
            ),
            None => return Ok(None),
        },
        (126, _) => return Ok(None),
        (length, _) => (usize::from(length), 6),
    };
    if length > PAYLOAD_BYTES_MAX {
        return Err(Malformed);
    }
    let end = begin + length;
    let Some(frame) = bytes.get_mut(..end) else {
        return Ok(None);
    };
    let (head, payload) = frame.split_at_mut(begin);
    let key = [head[begin - 4], head[begin - 3], head[begin - 2], head[begin - 1]];
    for (byte, key) in payload.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
    Ok(Some(Frame {
        opcode,
        payload,
        length: end,
    }))
}

/// Appends a frame of a server.
pub(crate) fn write(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.push(0x80 | opcode);
    match payload.len() {
        length @ ..126 => out.push(length as u8),
        length @ ..0x1_0000 => {
            out.push(126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same frame as a client sends it.
    fn masked(frame: &[u8], payload: usize) -> Vec<u8> {
        let key = [1, 2, 3, 4];
        let (head, body) = frame.split_at(frame.len() - payload);
        let mut out = head.to_vec();
        out[1] |= 0x80;
        out.extend_from_slice(&key);
        out.extend(body.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
        out
    }

    #[test]
    fn frames_of_every_length_are_read_when_they_are_whole() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let payload: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
            let mut out = Vec::new();
            write(&mut out, TEXT, &payload);
            let whole = masked(&out, length);
            for short in [1, 2, 5, whole.len() - 1]
                .into_iter()
                .filter(|n| *n < whole.len())
            {
                assert_eq!(first(&mut whole.clone()[..short]), Ok(None), "{length} {short}");
            }
            let mut more = whole.clone();
            more.push(0x81);
            let frame = Frame {
                opcode: TEXT,
                payload: &payload,
                length: whole.len(),
            };
            assert_eq!(first(&mut more), Ok(Some(frame)));
        }
    }

    #[test]
    fn what_no_client_sends_is_refused() {
        for bytes in [
            // Not masked; a fragment; an extension; too long.
            &mut [0x81, 1, 65][..],
            &mut [0x01, 0x81, 0, 0, 0, 0, 65],
            &mut [0xc1, 0x81, 0, 0, 0, 0, 65],
            &mut [0x81, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(first(bytes), Err(Malformed));
        }
    }
}
