//! How safe an event must be before its publish is acknowledged.

use std::fmt;
use std::str::FromStr;

use shared::limits::DURABILITY_REPLICAS_MAX;

/// What must have an event before its publish is acknowledged. As text: `primary`, `replicas:N`, `fsync`, `fsync:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Durability {
    /// The memory of the primary.
    #[default]
    Primary,
    /// The memory of so many replicas too, one at least.
    Replicas(u8),
    /// The disk of the primary (its append-only file is synced), and the disks of so many replicas.
    Fsync(u8),
}

/// The text names no durability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a durability is primary, replicas:N, fsync or fsync:N, with N from 1 to {DURABILITY_REPLICAS_MAX} replicas"
)]
pub struct DurabilityError;

impl FromStr for Durability {
    type Err = DurabilityError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, replicas) = match text.split_once(':') {
            None => (text, None),
            Some((kind, number)) => {
                let number = number.parse().ok();
                let fits = number.filter(|number| (1..=DURABILITY_REPLICAS_MAX).contains(number));
                (kind, Some(fits.ok_or(DurabilityError)?))
            }
        };
        match (kind, replicas) {
            ("primary", None) => Ok(Self::Primary),
            ("replicas", Some(replicas)) => Ok(Self::Replicas(replicas)),
            ("fsync", replicas) => Ok(Self::Fsync(replicas.unwrap_or(0))),
            _ => Err(DurabilityError),
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Primary => f.write_str("primary"),
            Self::Replicas(replicas) => write!(f, "replicas:{replicas}"),
            Self::Fsync(0) => f.write_str("fsync"),
            Self::Fsync(replicas) => write!(f, "fsync:{replicas}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_durability_reads_as_it_prints() {
        for (text, durability) in [
            ("primary", Durability::Primary),
            ("replicas:1", Durability::Replicas(1)),
            ("replicas:9", Durability::Replicas(9)),
            ("fsync", Durability::Fsync(0)),
            ("fsync:2", Durability::Fsync(2)),
        ] {
            assert_eq!(text.parse(), Ok(durability), "{text}");
            assert_eq!(durability.to_string(), text);
        }
        for text in [
            "",
            "replicas",
            "replicas:0",
            "replicas:10",
            "fsync:0",
            "fsync:",
            "primary:1",
            "Fsync",
            "disk",
        ] {
            assert_eq!(text.parse::<Durability>(), Err(DurabilityError), "{text}");
        }
    }
}
