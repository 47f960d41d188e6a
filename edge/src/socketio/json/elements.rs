//! The elements of an array, one by one, as they are written.

use bytes::Bytes;
use shared::limits::SIO_DEPTH_MAX;

use super::Scanner;

/// The elements of a JSON array that was checked before, as they are written. One that was not may come out wrong.
pub fn elements(array: &Bytes) -> Elements {
    let at = array
        .iter()
        .position(|byte| *byte == b'[')
        .map_or(array.len(), |open| open + 1);
    Elements {
        array: array.clone(),
        at,
    }
}

/// See [`elements`].
#[derive(Debug, Clone)]
pub struct Elements {
    array: Bytes,
    at: usize,
}

impl Iterator for Elements {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let mut scanner = Scanner {
            text: &self.array,
            at: self.at,
            attachments: None,
        };
        scanner.blank();
        let start = scanner.at;
        let found = scanner.value(SIO_DEPTH_MAX).is_ok();
        let end = scanner.at;
        scanner.blank();
        let more = scanner.eat(b',');
        let next = if found && more {
            scanner.at
        } else {
            self.array.len()
        };
        self.at = next;
        found.then(|| self.array.slice(start..end))
    }
}
