//! Markdown: a table of the targets, and one of figures for each scenario. Pure text from runs; writes nothing.

use std::fmt::Write;

use super::plot::Plot;
use super::{Judgment, Outcome, Run, Unit};

/// The whole report, as it stands beside the plots.
pub fn report(runs: &[Run]) -> String {
    let mut out = String::from(
        "# Results\n\nWritten by `cargo run --release -p benches -- all`; a single scenario renews its own part. What the scenarios are is told \
         in [the README of the benches](../README.md). The machine is small and not alone: ratios of one run say more than its figures.\n",
    );
    out += "\n## Targets\n\n";
    out += &targets(runs, "");
    for run in runs {
        // Writing to a String does not fail.
        let _ = write!(out, "\n## {}\n\n{}\n\n", run.scenario, run.summary);
        out += &table(&run.outcomes);
        out += &notes(&run.outcomes);
        for plot in Plot::all(run) {
            let _ = write!(out, "\n![{}]({})\n", plot.title, plot.file);
        }
        out += &circumstances(run);
    }
    out
}

/// What the project's README shows: the targets and the plots, which lie in `folder` as seen from there.
pub fn summary(runs: &[Run], folder: &str) -> String {
    let mut out = targets(runs, &format!("{folder}/README.md"));
    for run in runs {
        for plot in Plot::all(run).iter().take(1) {
            let _ = write!(out, "\n![{}]({folder}/{})\n", plot.title, plot.file);
        }
    }
    out
}

/// What a scenario found, for a terminal.
pub fn text(outcomes: &[Outcome]) -> String {
    let mut out = table(outcomes) + &notes(outcomes);
    let judged = outcomes
        .iter()
        .flat_map(|outcome| outcome.judgments.iter().map(move |judgment| (outcome, judgment)));
    for (outcome, judgment) in judged {
        let verdict = if judgment.met { "met" } else { "MISSED" };
        let measured = Unit::Ratio.show(judgment.measured);
        let what = subject(outcomes, outcome, judgment);
        let _ = writeln!(out, "{verdict}: {what} {measured}, {}", judgment.target);
    }
    out
}

/// What was to be reached, and was or was not. `report` is where the scenarios are told of.
fn targets(runs: &[Run], report: &str) -> String {
    if runs.is_empty() {
        return "Nothing is measured yet.\n".to_owned();
    }
    let mut out = String::from("| scenario | what | target | measured | |\n|---|---|--:|--:|---|\n");
    for run in runs {
        for outcome in &run.outcomes {
            for judgment in &outcome.judgments {
                let (what, target) = (subject(&run.outcomes, outcome, judgment), &judgment.target);
                let measured = Unit::Ratio.show(judgment.measured);
                let verdict = if judgment.met { "met" } else { "**missed**" };
                let _ = writeln!(
                    out,
                    "| [{0}]({report}#{0}) | {what} | {target} | {measured} | {verdict} |",
                    run.scenario
                );
            }
        }
    }
    out
}

/// What was judged; with what it was measured at, where the same was judged elsewhere in the scenario.
fn subject(outcomes: &[Outcome], outcome: &Outcome, judgment: &Judgment) -> String {
    let same = outcomes
        .iter()
        .filter(|other| other.judgments.iter().any(|one| one.what == judgment.what));
    match same.count() {
        0..=1 => judgment.what.clone(),
        _ => format!("{}; {}", judgment.what, outcome.variant),
    }
}

/// The figures of one scenario. A column for each name, in the order in which the names first come up.
pub(super) fn table(outcomes: &[Outcome]) -> String {
    let mut columns: Vec<(&str, Unit)> = Vec::new();
    for value in outcomes.iter().flat_map(|outcome| &outcome.values) {
        if !columns.iter().any(|(name, _)| *name == value.name) {
            columns.push((&value.name, value.unit));
        }
    }
    let varies = outcomes.iter().any(|outcome| !outcome.variant.is_empty());
    let mut out = String::from("| server |");
    let mut rule = String::from("|---|");
    if varies {
        out += " |";
        rule += "---|";
    }
    for (name, unit) in &columns {
        let _ = write!(out, " {name}{} |", unit.of());
        rule += "--:|";
    }
    out = format!("{out}\n{rule}\n");
    for outcome in outcomes {
        let _ = write!(out, "| {} |", outcome.server);
        if varies {
            let _ = write!(out, " {} |", outcome.variant);
        }
        for (name, unit) in &columns {
            let shown = outcome
                .get(name)
                .map_or_else(String::new, |value| unit.show(value));
            let _ = write!(out, " {shown} |");
        }
        out.push('\n');
    }
    out
}

/// Notes, each once, with the outcomes that it is about.
fn notes(outcomes: &[Outcome]) -> String {
    let mut notes: Vec<(&str, Vec<String>)> = Vec::new();
    for outcome in outcomes {
        for note in &outcome.notes {
            let about = outcome.label();
            match notes.iter_mut().find(|(text, _)| text == note) {
                Some((_, abouts)) => abouts.push(about),
                None => notes.push((note, vec![about])),
            }
        }
    }
    let mut out = String::new();
    for (note, about) in notes {
        let lead = if out.is_empty() { "\n" } else { "" };
        if about.len() == outcomes.len() {
            let _ = writeln!(out, "{lead}* {note}");
        } else {
            let _ = writeln!(out, "{lead}* {}: {note}", about.join("; "));
        }
    }
    out
}

fn circumstances(run: &Run) -> String {
    let mut versions: Vec<String> = Vec::new();
    for outcome in &run.outcomes {
        let version = format!("{} {}", outcome.server, outcome.version);
        if !outcome.version.is_empty() && !versions.contains(&version) {
            versions.push(version);
        }
    }
    versions.extend(run.circumstances.programs.iter().cloned());
    let how = &run.circumstances;
    format!(
        "\n`{}` on {}, commit {}. {}. {}.\n",
        how.command,
        how.date,
        how.commit,
        how.machine,
        versions.join("; ")
    )
}
