//! What must hold whatever bytes come from a client.

use super::decoder::{Decoder, Incoming};
use super::frame::Breach;

/// Bytes that a message may have.
const MESSAGE_BYTES_MAX: usize = 1_000;

/// Decodes `bytes` behind the first: whole, and in pieces of the length that the first byte says. It means the same,
/// and nothing is larger than it may be.
pub(crate) fn decode(bytes: &[u8]) {
    let Some((first, stream)) = bytes.split_first() else {
        return;
    };
    let whole = decoded([stream].into_iter());
    let pieces = decoded(stream.chunks(usize::from(*first) + 1));
    assert_eq!(whole, pieces);
    for incoming in &whole.0 {
        if let Incoming::Text(payload) | Incoming::Binary(payload) = incoming {
            assert!(payload.len() <= MESSAGE_BYTES_MAX);
        }
        if let Incoming::Text(text) = incoming {
            assert!(std::str::from_utf8(text).is_ok());
        }
    }
}

fn decoded<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Incoming>, Option<Breach>) {
    let mut decoder = Decoder::new(MESSAGE_BYTES_MAX);
    let mut seen = Vec::new();
    for mut input in pieces {
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(incoming)) => seen.push(incoming),
                Ok(None) => break,
                Err(breach) => return (seen, Some(breach)),
            }
        }
        assert!(input.is_empty());
    }
    (seen, None)
}
