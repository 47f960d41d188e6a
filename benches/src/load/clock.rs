//! The one clock of a run.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Microseconds since somebody first asked.
pub fn now_us() -> u64 {
    BEGIN.elapsed().as_micros() as u64
}

/// When the clock will show `us`.
pub fn instant(us: u64) -> Instant {
    *BEGIN + Duration::from_micros(us)
}
