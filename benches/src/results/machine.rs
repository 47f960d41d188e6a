//! Where and how a run was made: what a reader needs to judge its figures, or to make them again.

use std::process::Command;

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// Where and how a run was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Circumstances {
    /// When it ended, RFC 3339 in UTC.
    pub date: String,
    /// The command line.
    pub command: String,
    /// The commit that was measured, with `, changed` if the working tree differed from it.
    pub commit: String,
    /// The machine.
    pub machine: Machine,
    /// Programs that the servers share or run in, each with its version.
    pub programs: Vec<String>,
}

/// A machine, as far as it matters for speed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's model.
    pub cpu: String,
    /// How many processors the system sees.
    pub cores: usize,
    /// Its memory in bytes.
    pub memory: u64,
    /// The kernel.
    pub kernel: String,
}

impl Circumstances {
    /// Those of this process, now. What cannot be found out is said to be unknown.
    pub fn now() -> anyhow::Result<Self> {
        let redis =
            std::env::var(broker::testing::PROGRAM_VARIABLE).unwrap_or_else(|_| "redis-server".to_owned());
        let programs = [
            (redis.as_str(), "--version"),
            ("node", "--version"),
            ("rustc", "--version"),
        ];
        Ok(Self {
            date: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%MZ").to_string(),
            command: command_line(std::env::args().skip(1)),
            commit: commit(),
            machine: Machine::here()?,
            programs: programs
                .iter()
                .map(|(program, argument)| version(program, argument))
                .collect(),
        })
    }
}

impl Machine {
    /// This machine, from `/proc`.
    pub fn here() -> anyhow::Result<Self> {
        let cpus = std::fs::read_to_string("/proc/cpuinfo")?;
        let memory = std::fs::read_to_string("/proc/meminfo")?;
        let kib: u64 = field(&memory, "MemTotal")
            .and_then(|value| value.strip_suffix(" kB")?.parse().ok())
            .context("no MemTotal in /proc/meminfo")?;
        Ok(Self {
            // Only x86 names it there.
            cpu: field(&cpus, "model name")
                .unwrap_or("unknown processor")
                .to_owned(),
            cores: std::thread::available_parallelism()?.get(),
            memory: kib * 1024,
            kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease")?
                .trim()
                .to_owned(),
        })
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let gib = self.memory as f64 / f64::from(1 << 30);
        write!(
            f,
            "{}, {} cores, {gib:.0} GiB, Linux {}",
            self.cpu, self.cores, self.kernel
        )
    }
}

/// The value of a line `name : value`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

/// What somebody types to get this run: the arguments behind the command of the README.
fn command_line(arguments: impl Iterator<Item = String>) -> String {
    let mut line = String::from("cargo run --release -p benches --");
    for argument in arguments {
        line.push(' ');
        line.push_str(&argument);
    }
    line
}

/// The first line of what a program says of itself, with its name in front if it does not say that.
fn version(program: &str, argument: &str) -> String {
    let output = Command::new(program).arg(argument).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let line = text
        .unwrap_or_default()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned();
    let name = program.rsplit('/').next().unwrap_or(program);
    match line.as_str() {
        "" => format!("{name} (not found)"),
        // `Redis server v=7.0.15 sha=00000000:0 malloc=…`
        line if line.contains(" v=") => {
            let version = line.split(" v=").nth(1).and_then(|rest| rest.split(' ').next());
            format!("{name} {}", version.unwrap_or_default())
        }
        line if line.starts_with(name) => line.split(" (").next().unwrap_or(line).to_owned(),
        line => format!("{name} {line}"),
    }
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .args(arguments)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .ok()
            .filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=10", "HEAD"]) else {
        return "unknown".to_owned();
    };
    // The results of other scenarios may have been written just before.
    let changed = git(&[
        "status",
        "--porcelain",
        "--",
        ":/",
        ":!/benches/results",
        ":!/README.md",
    ]);
    match changed.as_deref() {
        Some("") => commit,
        _ => format!("{commit}, changed"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_all_that_is_told_of_it() {
        let circumstances = Circumstances::now().unwrap();
        let Machine {
            cpu,
            cores,
            memory,
            kernel,
        } = &circumstances.machine;
        assert!(!cpu.is_empty() && *cores > 0 && *memory > 1 << 28);
        assert!(kernel.contains('.'), "{kernel}");
        let programs = circumstances.programs.join("; ");
        assert!(!programs.contains("not found"), "{programs}");
        assert!(
            programs.chars().filter(char::is_ascii_digit).count() > 6,
            "{programs}"
        );
        assert!(circumstances.date.ends_with('Z'), "{}", circumstances.date);
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        assert_eq!(version("/nowhere/redis", "--version"), "redis (not found)");
    }

    #[test]
    fn fields_of_proc_are_found_by_their_whole_name() {
        let text = "model\t\t: 79\nmodel name\t: Some CPU @ 2.20GHz\nMemTotal:   1024 kB\n";
        assert_eq!(field(text, "model name"), Some("Some CPU @ 2.20GHz"));
        assert_eq!(field(text, "MemTotal"), Some("1024 kB"));
        assert_eq!(field(text, "MemFree"), None);
    }
}
