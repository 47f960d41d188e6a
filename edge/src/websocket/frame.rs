//! The parts of a frame (RFC 6455, section 5.2): its header, its mask, and the codes of a close.

/// Bytes of the longest header that a server sends.
pub(super) const SENT_HEADER_BYTES_MAX: usize = 10;
/// Bytes of the longest header that a client sends.
pub(super) const HEADER_BYTES_MAX: usize = 14;
/// Bytes that the payload of a control frame may have (RFC 6455, section 5.5).
pub(super) const CONTROL_BYTES_MAX: usize = 125;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;

/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opcode {
    /// The next piece of a message.
    Continuation,
    /// A text, or its first piece.
    Text,
    /// Binary, or its first piece.
    Binary,
    /// The goodbye.
    Close,
    /// To be answered with a pong.
    Ping,
    /// The answer to a ping.
    Pong,
}

impl Opcode {
    fn of(nibble: u8) -> Option<Self> {
        Some(match nibble {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            _ => return None,
        })
    }

    fn nibble(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xa,
        }
    }

    /// Whether frames of this kind may stand between the pieces of a message.
    pub(super) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// How a peer broke the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Breach {
    /// A frame that may not be, or not here.
    #[error("a frame that the WebSocket protocol does not allow")]
    Protocol,
    /// Text that is not UTF-8.
    #[error("text that is not UTF-8")]
    InvalidUtf8,
    /// A message above the limit.
    #[error("a message above the limit")]
    TooBig,
}

impl Breach {
    /// The code to close with (RFC 6455, section 7.4.1).
    pub(crate) fn close_code(self) -> u16 {
        match self {
            Self::Protocol => 1002,
            Self::InvalidUtf8 => 1007,
            Self::TooBig => 1009,
        }
    }
}

/// The header of a frame that a client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) opcode: Opcode,
    /// Whether it is the last frame of its message.
    pub(super) last: bool,
    pub(super) length: u64,
    pub(super) mask: [u8; 4],
}

impl Header {
    /// Reads a header from the beginning of `bytes`, with how many bytes it has; `None` if it is not complete.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Breach> {
        let &[first, second, ref rest @ ..] = bytes else {
            return Ok(None);
        };
        let opcode = Opcode::of(first & 0x0f).ok_or(Breach::Protocol)?;
        let last = first & FIN != 0;
        let short = second & !MASKED;
        // Nothing was negotiated that gives reserved bits a meaning, and a client masks (section 5.1).
        if first & RESERVED != 0 || second & MASKED == 0 {
            return Err(Breach::Protocol);
        }
        if opcode.is_control() && (!last || usize::from(short) > CONTROL_BYTES_MAX) {
            return Err(Breach::Protocol);
        }
        let Some((length, rest)) = length(short, rest) else {
            return Ok(None);
        };
        let Some((mask, rest)) = rest.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let header = Self {
            opcode,
            last,
            length,
            mask: *mask,
        };
        Ok(Some((header, bytes.len() - rest.len())))
    }
}

fn length(short: u8, rest: &[u8]) -> Option<(u64, &[u8])> {
    match short {
        LENGTH_16 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            Some((u64::from(u16::from_be_bytes(*length)), rest))
        }
        LENGTH_64 => {
            let (length, rest) = rest.split_first_chunk::<8>()?;
            Some((u64::from_be_bytes(*length), rest))
        }
        short => Some((u64::from(short), rest)),
    }
}

/// Appends the header of a whole message from a server.
pub(super) fn push_header(opcode: Opcode, length: usize, out: &mut Vec<u8>) {
    let mut header = [0; SENT_HEADER_BYTES_MAX];
    header[0] = FIN | opcode.nibble();
    let used = match length {
        0..=CONTROL_BYTES_MAX => {
            header[1] = length as u8;
            2
        }
        126..=0xffff => {
            header[1] = LENGTH_16;
            header[2..4].copy_from_slice(&(length as u16).to_be_bytes());
            4
        }
        _ => {
            header[1] = LENGTH_64;
            header[2..].copy_from_slice(&(length as u64).to_be_bytes());
            SENT_HEADER_BYTES_MAX
        }
    };
    out.extend_from_slice(&header[..used]);
}

/// Reads back what [`push_header`] wrote at the beginning of `bytes`: opcode, payload length, header length.
pub(super) fn read_sent_header(bytes: &[u8]) -> Option<(Opcode, usize, usize)> {
    let &[first, second, ref rest @ ..] = bytes else {
        return None;
    };
    let (length, rest) = length(second, rest)?;
    Some((
        Opcode::of(first & 0x0f)?,
        length as usize,
        bytes.len() - rest.len(),
    ))
}

/// Removes the mask (RFC 6455, section 5.3); `offset` bytes of the payload came before these.
pub(super) fn unmask(bytes: &mut [u8], mut mask: [u8; 4], offset: usize) {
    mask.rotate_left(offset % 4);
    let wide = u64::from_ne_bytes([
        mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3],
    ]);
    let (chunks, tail) = bytes.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in tail.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// Reads the payload of a close: its code, if it has one (RFC 6455, section 5.5.1).
pub(super) fn close_code(payload: &[u8]) -> Result<Option<u16>, Breach> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return match payload.is_empty() {
            true => Ok(None),
            false => Err(Breach::Protocol),
        };
    };
    let code = u16::from_be_bytes(*code);
    if !may_be_sent(code) {
        return Err(Breach::Protocol);
    }
    match std::str::from_utf8(reason) {
        Ok(_) => Ok(Some(code)),
        Err(_) => Err(Breach::InvalidUtf8),
    }
}

/// Whether a code may stand in a close frame (RFC 6455, section 7.4, and the IANA registry it founded).
pub(crate) fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_examples_of_the_specification() {
        // RFC 6455, section 5.7: a masked "Hello".
        let frame = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        let (header, used) = Header::parse(&frame).unwrap().unwrap();
        assert_eq!(
            (header.opcode, header.last, header.length, used),
            (Opcode::Text, true, 5, 6)
        );
        let mut payload = frame[used..].to_vec();
        unmask(&mut payload, header.mask, 0);
        assert_eq!(payload, b"Hello");
        // The same, unmasked, from a server; and the headers of 256 bytes and 64 KiB of binary.
        for (opcode, length, expected) in [
            (Opcode::Text, 5, &[0x81, 0x05][..]),
            (Opcode::Ping, 5, &[0x89, 0x05]),
            (Opcode::Binary, 256, &[0x82, 0x7e, 0x01, 0x00]),
            (Opcode::Binary, 65536, &[0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut out = Vec::new();
            push_header(opcode, length, &mut out);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn closes_have_a_code_that_may_be_sent_or_none() {
        assert_eq!(close_code(b""), Ok(None));
        assert_eq!(close_code(&[3]), Err(Breach::Protocol));
        assert_eq!(close_code(&[3, 232]), Ok(Some(1000)));
        assert_eq!(close_code(&[3, 232, 0xff]), Err(Breach::InvalidUtf8));
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
            assert_eq!(
                close_code(&u16::to_be_bytes(code)),
                Err(Breach::Protocol),
                "{code}"
            );
        }
        for code in [1000, 1001, 1011, 1014, 3000, 4999] {
            assert_eq!(close_code(&u16::to_be_bytes(code)), Ok(Some(code)));
        }
    }

    proptest! {
        #[test]
        fn a_sent_header_is_read_back(length in prop_oneof![0usize..300, 65_000usize..66_000, any::<u32>().prop_map(|n| n as usize)]) {
            let mut out = Vec::new();
            push_header(Opcode::Binary, length, &mut out);
            let used = out.len();
            for cut in 0..used {
                prop_assert_eq!(read_sent_header(&out[..cut]), None);
            }
            prop_assert_eq!(read_sent_header(&out), Some((Opcode::Binary, length, used)));
        }

        #[test]
        fn a_mask_is_removed_in_any_pieces(bytes in prop::collection::vec(any::<u8>(), 0..100), mask: [u8; 4], cut in 0usize..100) {
            let cut = cut.min(bytes.len());
            let expected: Vec<u8> = bytes.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
            let mut pieces = bytes.clone();
            let (head, tail) = pieces.split_at_mut(cut);
            unmask(head, mask, 0);
            unmask(tail, mask, cut);
            prop_assert_eq!(pieces, expected);
        }
    }
}
