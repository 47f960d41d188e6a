//! What the processes of a run have used: processor time and resident memory, by role.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;

/// What one or more processes have used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time, user and system.
    pub cpu: Duration,
    /// Bytes of memory that are resident now.
    pub resident: u64,
    /// The most that were resident at any time since the start, or since [`forget_peak`].
    pub resident_peak: u64,
}

/// What everybody in a run has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Accounts {
    /// The servers' processes together.
    pub edges: Usage,
    /// The Redis behind them; nothing where there is none.
    pub redis: Usage,
    /// This process, which generates the load.
    pub generator: Usage,
}

impl Usage {
    /// Of one process, from `/proc/PID/stat` (proc(5): fields 14 and 15, in ticks of 10 ms) and `/proc/PID/status`.
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let stat = read(pid, "stat")?;
        let after_name = stat.rsplit_once(") ").context("unexpected /proc/PID/stat")?.1;
        let ticks: Vec<u64> = after_name
            .split(' ')
            .skip(11)
            .take(2)
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        let status = read(pid, "status")?;
        Ok(Self {
            cpu: Duration::from_millis(10 * ticks.iter().sum::<u64>()),
            resident: kibibytes(&status, "VmRSS:")?,
            resident_peak: kibibytes(&status, "VmHWM:")?,
        })
    }

    /// Of several processes.
    pub fn of_all(pids: impl IntoIterator<Item = u32>) -> anyhow::Result<Self> {
        pids.into_iter().try_fold(Self::default(), |sum, pid| {
            let one = Self::of(pid)?;
            Ok(Self {
                cpu: sum.cpu + one.cpu,
                resident: sum.resident + one.resident,
                resident_peak: sum.resident_peak + one.resident_peak,
            })
        })
    }

    /// The processor time since `earlier`; memory as it is in `self`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            ..*self
        }
    }

    /// Microseconds of processor time for each of `count` things.
    pub fn cpu_us_per(&self, count: u64) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / count as f64
    }
}

impl Accounts {
    /// The processor time since `earlier`; memory as it is in `self`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            edges: self.edges.since(&earlier.edges),
            redis: self.redis.since(&earlier.redis),
            generator: self.generator.since(&earlier.generator),
        }
    }
}

/// Begins the peak of a process anew, at what is resident now (proc(5): `/proc/PID/clear_refs`).
pub fn forget_peak(pid: u32) -> anyhow::Result<()> {
    let path = path(pid, "clear_refs");
    std::fs::write(&path, "5").with_context(|| format!("writing {}", path.display()))
}

fn path(pid: u32, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{file}"))
}

fn read(pid: u32, file: &str) -> anyhow::Result<String> {
    let path = path(pid, file);
    std::fs::read_to_string(&path)
        .with_context(|| format!("reading {}: has the process ended?", path.display()))
}

fn kibibytes(status: &str, name: &str) -> anyhow::Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.with_context(|| format!("no {name} in /proc/PID/status"))?;
    Ok(number.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{Usage, forget_peak};

    #[test]
    fn work_and_memory_of_this_process_are_seen() {
        let pid = std::process::id();
        let before = Usage::of(pid).unwrap();
        let memory = std::hint::black_box(vec![1u8; 64 << 20]);
        // Until the clock, which goes in ticks, has moved.
        while Usage::of(pid).unwrap().since(&before).cpu.is_zero() {}
        let with = Usage::of(pid).unwrap();
        assert!(
            with.resident >= before.resident + (32 << 20),
            "{before:?} {with:?}"
        );
        drop(memory);
        let after = Usage::of_all([pid]).unwrap();
        // The kernel's numbers lag by some pages.
        assert!(
            after.resident_peak >= before.resident + (32 << 20),
            "{before:?} {after:?}"
        );
        forget_peak(pid).unwrap();
        let anew = Usage::of(pid).unwrap();
        assert!(anew.resident_peak < after.resident_peak, "{after:?} {anew:?}");
    }
}
