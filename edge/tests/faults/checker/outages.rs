//! What one subscriber was told of outages: on each connection and stream `degraded` first, then `restored`, and so on.

use std::collections::BTreeMap;

use shared::StreamName;

/// What it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// The log is away.
    Degraded,
    /// The log is back.
    Restored,
}

/// Everything that it was told of them.
#[derive(Debug, Default)]
pub struct Outages {
    /// Streams that are away on the present connection.
    open: Vec<StreamName>,
    /// How many each stream has come through, from the one word to the other.
    over: BTreeMap<StreamName, u64>,
}

impl Outages {
    /// The error is what is wrong with it.
    pub fn take(&mut self, stream: &StreamName, told: Outage) -> Result<(), String> {
        let open = self.open.iter().position(|open| open == stream);
        match (told, open) {
            (Outage::Degraded, None) => self.open.push(stream.clone()),
            (Outage::Restored, Some(open)) => {
                self.open.swap_remove(open);
                *self.over.entry(stream.clone()).or_default() += 1;
            }
            (Outage::Degraded, Some(_)) => return Err(format!("degraded twice: {stream}")),
            (Outage::Restored, None) => return Err(format!("restored, and was not degraded: {stream}")),
        }
        Ok(())
    }

    /// The connection ended, and with it what it was told.
    pub fn disconnected(&mut self) {
        self.open.clear();
    }

    /// Whether the end of one is still to be told.
    pub fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// How many `stream` has come through.
    pub fn over(&self, stream: &StreamName) -> u64 {
        self.over.get(stream).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn each_word_has_its_place() {
        let stream: StreamName = "a".parse().unwrap();
        let mut outages = Outages::default();
        outages.take(&stream, Outage::Restored).unwrap_err();
        outages.take(&stream, Outage::Degraded).unwrap();
        assert!(outages.is_open());
        outages.take(&stream, Outage::Degraded).unwrap_err();
        outages.take(&stream, Outage::Restored).unwrap();
        assert_eq!((outages.is_open(), outages.over(&stream)), (false, 1));
        outages.take(&stream, Outage::Degraded).unwrap();
        outages.disconnected();
        outages.take(&stream, Outage::Degraded).unwrap();
        assert_eq!(outages.over(&stream), 1);
    }
}
