//! Plots as SVG, of whatever values a scenario has marked for it: lines where its outcomes stand on an axis, bars otherwise.
//! The text is set by whoever shows the picture, so that no font is needed to make it.

mod bars;
mod canvas;
mod lines;
mod scale;

use super::{Outcome, Run, Unit};

/// A picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plot {
    /// What it shows.
    pub(super) title: String,
    /// The name of its file.
    pub(super) file: String,
    /// SVG.
    pub(super) svg: String,
}

/// What Weir's marks are painted with, and those of the others in the order in which they were measured. Far enough apart
/// for eyes that do not tell red from green.
const COLOURS: [&str; 7] = [
    "#0b62c4", "#d9660a", "#7a7a7a", "#1b9e77", "#a0378e", "#b8950c", "#5a3d2b",
];

impl Plot {
    /// All plots of a run.
    pub(super) fn all(run: &Run) -> Vec<Self> {
        let mut names: Vec<(&str, Unit)> = Vec::new();
        for value in run.outcomes.iter().flat_map(|outcome| &outcome.values) {
            if value.plotted && !names.iter().any(|(name, _)| *name == value.name) {
                names.push((&value.name, value.unit));
            }
        }
        names
            .iter()
            .map(|(name, unit)| Self::of(run, name, *unit))
            .collect()
    }

    fn of(run: &Run, name: &str, unit: Unit) -> Self {
        let title = format!("{}: {name}{}", run.scenario, unit.of());
        let measured: Vec<(&Outcome, f64)> = run
            .outcomes
            .iter()
            .filter_map(|outcome| Some((outcome, unit.scaled(outcome.get(name)?))))
            .filter(|(_, value)| value.is_finite())
            .collect();
        let servers = run.servers();
        let axis = run.outcomes.iter().find_map(|outcome| outcome.at.as_ref());
        let svg = match axis {
            Some(position) => lines::draw(&title, &position.axis, &servers, &measured),
            None => bars::draw(&title, unit, &servers, &measured),
        };
        Self {
            title,
            file: format!("{}-{}.svg", file_name(&run.scenario), file_name(name)),
            svg,
        }
    }
}

/// The colour of a server among those of a run.
fn colour(servers: &[&str], server: &str) -> &'static str {
    if server == "Weir" {
        return COLOURS[0];
    }
    let others = servers.iter().filter(|other| **other != "Weir");
    let place = others.take_while(|other| **other != server).count();
    COLOURS[1 + place % (COLOURS.len() - 1)]
}

/// Letters and digits, with a dash between words.
fn file_name(name: &str) -> String {
    let words: Vec<String> = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    words.join("-")
}
