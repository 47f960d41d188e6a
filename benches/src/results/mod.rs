//! What comes out of a run. Every scenario returns [`Outcome`]s; a [`Run`] of one is kept as JSON; [`publish`] makes a report
//! and plots of all that are kept.

mod machine;
mod outcome;
mod plot;
mod report;
mod run;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::path::{Path, PathBuf};

use anyhow::Context;

use plot::Plot;

pub use machine::{Circumstances, Machine};
pub use outcome::{Judgment, Outcome, Position, Unit, Value};
pub use report::{report, summary, text};
pub use run::Run;

/// Between these lines of the project's README the results stand.
const BEGIN: &str = "<!-- Results: written by the benches. -->\n";
const END: &str = "<!-- End of the results. -->\n";

/// Where results are kept: `benches/results/`.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("results")
}

/// The project's README.
pub fn readme() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")
}

/// Keeps what a scenario found, and publishes it.
pub fn keep(scenario: String, summary: String, outcomes: Vec<Outcome>) -> anyhow::Result<()> {
    Run::new(scenario, summary, outcomes)?.save(&folder())?;
    publish(&folder(), &readme())
}

/// Writes `README.md` and the plots of all runs that are kept in the folder, and the part of the project's README that
/// shows them.
pub fn publish(folder: &Path, readme: &Path) -> anyhow::Result<()> {
    let runs = Run::all(folder)?;
    std::fs::write(folder.join("README.md"), report(&runs))?;
    let mut kept = Vec::new();
    for plot in runs.iter().flat_map(Plot::all) {
        std::fs::write(folder.join(&plot.file), &plot.svg)?;
        kept.push(plot.file);
    }
    // What an earlier run has plotted and this one has not.
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.ends_with(".svg") && !kept.contains(&name) {
            std::fs::remove_file(path)?;
        }
    }
    let text = std::fs::read_to_string(readme)?;
    let text = with_results(&text, &summary(&runs, "benches/results"))
        .with_context(|| format!("{} has no place for results", readme.display()))?;
    Ok(std::fs::write(readme, text)?)
}

/// A README with these results in their place.
fn with_results(readme: &str, results: &str) -> Option<String> {
    let (before, rest) = readme.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{results}{END}{after}"))
}
