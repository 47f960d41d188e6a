//! Bytes that nobody can foresee, for names that are secrets.

use ring::rand::{SecureRandom as _, SystemRandom};

/// Random bytes of the system; `None` if it has none to give.
pub(crate) fn secret<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(bytes)
}
