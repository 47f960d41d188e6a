//! A run of one scenario, kept as JSON: the reports are made of whatever runs lie in a folder.

use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::{Circumstances, Outcome};

/// The order of scenarios in a report. Others come behind them, by name.
const ORDER: [&str; 10] = [
    "fan-out",
    "firehose",
    "rooms",
    "latency",
    "slow-readers",
    "resume-storm",
    "replay",
    "ingest",
    "idle",
    "connect",
];

/// Everything that came out of running one scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The scenario's name on the command line.
    pub scenario: String,
    /// What it does, in a sentence.
    pub summary: String,
    /// Where and how it ran.
    pub circumstances: Circumstances,
    /// What it found.
    pub outcomes: Vec<Outcome>,
}

impl Run {
    /// A run that ended just now, on this machine, by the command line of this process.
    pub fn new(
        scenario: impl Into<String>,
        summary: impl Into<String>,
        outcomes: Vec<Outcome>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            scenario: scenario.into(),
            summary: summary.into(),
            circumstances: Circumstances::now()?,
            outcomes,
        })
    }

    /// Writes it into a folder, in place of an earlier run of the same scenario.
    pub fn save(&self, folder: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(folder)?;
        let path = folder.join(format!("{}.json", self.scenario));
        let json = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(&path, json).with_context(|| format!("writing {}", path.display()))
    }

    /// All runs in a folder, in the order of a report.
    pub fn all(folder: &Path) -> anyhow::Result<Vec<Self>> {
        let mut runs = Vec::new();
        for entry in std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let json = std::fs::read(&path)?;
                let run: Self = serde_json::from_slice(&json)
                    .with_context(|| format!("{}: measure it again", path.display()))?;
                runs.push(run);
            }
        }
        runs.sort_by_key(|run| {
            let place = ORDER.iter().position(|name| *name == run.scenario);
            (place.unwrap_or(ORDER.len()), run.scenario.clone())
        });
        Ok(runs)
    }

    /// The servers, each once, in the order in which they were measured.
    pub fn servers(&self) -> Vec<&str> {
        let mut servers = Vec::new();
        for outcome in &self.outcomes {
            if !servers.contains(&outcome.server.as_str()) {
                servers.push(&outcome.server);
            }
        }
        servers
    }
}
