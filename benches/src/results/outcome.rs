//! What a scenario found out of one server: what is measured hands it on, what reports reads it.

use serde::{Deserialize, Deserializer, Serialize};

use crate::accounts::Usage;

/// One server in one variant of one scenario. A scenario returns one for each.
///
/// ```
/// use benches::results::{Judgment, Outcome, Unit};
///
/// let outcome = Outcome::new("fan-out", "Weir", "0.1.0", "100 events/s")
///     .at("events published per second", 100.0)
///     .plot("CPU per delivery", 5.9, Unit::Microseconds)
///     .value("delivered", 1_000_000.0, Unit::Count)
///     .judge(Judgment::at_most("CPU per delivery beside the bare write", 5.9 / 5.0, 1.25))
///     .note("the publisher is a client too");
/// assert!(outcome.judgments[0].met);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Which scenario: the name on the command line.
    pub scenario: String,
    /// Which server, as a reader knows it. Plots have one line for each: `Weir` and `Weir, SSE` are two.
    pub server: String,
    /// Its version, and that of what belongs to it: `4.8.4, adapter 0.3.1`.
    pub version: String,
    /// What tells this from the scenario's other outcomes of the server: `100 events/s`. Empty if it is the only one.
    pub variant: String,
    /// Where it stands on the horizontal axis of the scenario's plots, if they are lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Position>,
    /// What was measured. A name means the same in all outcomes of a scenario, with the same unit.
    pub values: Vec<Value>,
    /// Targets that this outcome meets or misses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub judgments: Vec<Judgment>,
    /// What a reader has to know besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A place on the horizontal axis of a plot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// What the axis shows, with its unit.
    pub axis: String,
    /// Above 0: the axis is logarithmic.
    pub value: f64,
}

/// One measured number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Value {
    /// What was measured: `CPU per delivery`.
    pub name: String,
    /// The number, in the unit. NaN if it could not be measured.
    #[serde(deserialize_with = "number")]
    pub value: f64,
    /// Its unit.
    pub unit: Unit,
    /// Whether a plot shows it beside that of the other servers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub plotted: bool,
}

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Things.
    Count,
    /// Things each second.
    PerSecond,
    /// Bytes.
    Bytes,
    /// Bytes, shown as MiB.
    Mebibytes,
    /// Time.
    Microseconds,
    /// Time.
    Milliseconds,
    /// Time.
    Seconds,
    /// One measured thing over another of the same kind.
    Ratio,
}

/// A target, and whether it is met.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgment {
    /// What was measured: `CPU per delivery beside the bare write`.
    pub what: String,
    /// The measured number. NaN if it could not be measured.
    #[serde(deserialize_with = "number")]
    pub measured: f64,
    /// What it was to be: `at most 1.25`.
    pub target: String,
    /// Whether it is.
    pub met: bool,
}

impl Outcome {
    /// An outcome without anything measured yet.
    pub fn new(
        scenario: impl Into<String>,
        server: impl Into<String>,
        version: impl Into<String>,
        variant: impl Into<String>,
    ) -> Self {
        Self {
            scenario: scenario.into(),
            server: server.into(),
            version: version.into(),
            variant: variant.into(),
            at: None,
            values: Vec::new(),
            judgments: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Its plots are lines over this axis, and this is where it stands on it.
    #[must_use]
    pub fn at(mut self, axis: impl Into<String>, value: f64) -> Self {
        self.at = Some(Position {
            axis: axis.into(),
            value,
        });
        self
    }

    /// Adds a number to the table.
    #[must_use]
    pub fn value(mut self, name: impl Into<String>, value: f64, unit: Unit) -> Self {
        self.values.push(Value {
            name: name.into(),
            value,
            unit,
            plotted: false,
        });
        self
    }

    /// Adds to the table the processor time that was used for each of `count`.
    #[must_use]
    pub fn cpu(self, name: impl Into<String>, used: &Usage, count: u64) -> Self {
        self.value(name, used.cpu_us_per(count), Unit::Microseconds)
    }

    /// Adds a number to the table and to a plot.
    #[must_use]
    pub fn plot(self, name: impl Into<String>, value: f64, unit: Unit) -> Self {
        let mut outcome = self.value(name, value, unit);
        if let Some(value) = outcome.values.last_mut() {
            value.plotted = true;
        }
        outcome
    }

    /// Adds a target.
    #[must_use]
    pub fn judge(mut self, judgment: Judgment) -> Self {
        self.judgments.push(judgment);
        self
    }

    /// Adds a sentence.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Server and variant.
    pub fn label(&self) -> String {
        if self.variant.is_empty() {
            self.server.clone()
        } else {
            format!("{}, {}", self.server, self.variant)
        }
    }

    /// The number of this name, if it was measured.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.values
            .iter()
            .find(|value| value.name == name)
            .map(|value| value.value)
    }
}

impl Judgment {
    /// `what` is to be `limit` or less. What could not be measured (NaN) is not met.
    pub fn at_most(what: impl Into<String>, measured: f64, limit: f64) -> Self {
        Self {
            what: what.into(),
            measured,
            target: format!("at most {}", Unit::Ratio.show(limit)),
            met: measured <= limit,
        }
    }

    /// `what` is to be `limit` or more.
    pub fn at_least(what: impl Into<String>, measured: f64, limit: f64) -> Self {
        Self {
            what: what.into(),
            measured,
            target: format!("at least {}", Unit::Ratio.show(limit)),
            met: measured >= limit,
        }
    }

    /// `what` is to be less than `limit`.
    pub fn below(what: impl Into<String>, measured: f64, limit: f64) -> Self {
        Self {
            what: what.into(),
            measured,
            target: format!("below {}", Unit::Ratio.show(limit)),
            met: measured < limit,
        }
    }
}

impl Unit {
    /// What a heading says of it: `, µs`.
    pub fn of(self) -> &'static str {
        match self {
            Self::Count => "",
            Self::Ratio => ", ratio",
            Self::PerSecond => ", per second",
            Self::Bytes => ", B",
            Self::Mebibytes => ", MiB",
            Self::Microseconds => ", µs",
            Self::Milliseconds => ", ms",
            Self::Seconds => ", s",
        }
    }

    /// A number in the unit that is shown.
    pub fn scaled(self, value: f64) -> f64 {
        match self {
            Self::Mebibytes => value / f64::from(1 << 20),
            _ => value,
        }
    }

    /// A number as a reader wants it.
    pub fn show(self, value: f64) -> String {
        self.digits(self.scaled(value))
    }

    /// A number that is scaled already: three digits that count, thousands apart.
    pub(super) fn digits(self, value: f64) -> String {
        if !value.is_finite() {
            return "not measured".to_owned();
        }
        let whole = matches!(self, Self::Count | Self::Bytes);
        let decimals = match value.abs() {
            _ if whole || value == 0.0 => 0,
            size if size >= 99.95 => 0,
            size if size >= 9.995 => 1,
            size if size >= 0.0995 => 2,
            _ => 3,
        };
        let mut digits = format!("{value:.decimals$}");
        if self == Self::Ratio && digits.contains('.') {
            digits.truncate(digits.trim_end_matches('0').trim_end_matches('.').len());
        }
        grouped(&digits)
    }
}

/// JSON has no NaN: it is written as `null`.
fn number<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f64::NAN))
}

/// Puts commas between thousands.
fn grouped(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
    let (whole, decimals) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
    let mut out = sign.to_owned();
    for (at, digit) in whole.char_indices() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out + decimals
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_with_the_digits_that_count() {
        for (unit, value, shown) in [
            (Unit::Microseconds, 5.943, "5.94"),
            (Unit::Microseconds, 0.043_21, "0.043"),
            (Unit::Milliseconds, 99.96, "100"),
            (Unit::PerSecond, 1_234_567.8, "1,234,568"),
            (Unit::Bytes, 6_144.4, "6,144"),
            (Unit::Count, 999.0, "999"),
            (Unit::Mebibytes, 1_572_864.0, "1.50"),
            (Unit::Ratio, 2.5, "2.5"),
            (Unit::Ratio, 100.0, "100"),
            (Unit::Ratio, 0.333_33, "0.33"),
            (Unit::Seconds, 0.0, "0"),
            (Unit::Seconds, -1_000.0, "-1,000"),
            (Unit::Ratio, f64::NAN, "not measured"),
        ] {
            assert_eq!(unit.show(value), shown, "{unit:?} {value}");
        }
    }

    #[test]
    fn what_could_not_be_measured_goes_through_json() {
        let outcome = Outcome::new("s", "Weir", "1", "").plot("x", f64::NAN, Unit::Ratio);
        let json = serde_json::to_string(&outcome.judge(Judgment::at_most("x", f64::NAN, 1.0))).unwrap();
        let back: Outcome = serde_json::from_str(&json).unwrap();
        assert!(back.values[0].value.is_nan() && back.values[0].plotted);
        assert!(back.judgments[0].measured.is_nan() && !back.judgments[0].met);
    }

    #[test]
    fn a_target_at_its_limit_is_met_and_one_without_a_number_is_not() {
        assert!(Judgment::at_most("x", 1.25, 1.25).met);
        assert!(!Judgment::at_most("x", 1.26, 1.25).met);
        assert!(Judgment::at_least("x", 10.0, 10.0).met);
        assert!(!Judgment::at_least("x", 9.9, 10.0).met);
        assert!(!Judgment::below("x", 1.0, 1.0).met);
        for judgment in [
            Judgment::at_most("x", f64::NAN, 1.0),
            Judgment::at_least("x", f64::NAN, 1.0),
            Judgment::below("x", f64::NAN, 1.0),
        ] {
            assert!(!judgment.met);
        }
    }
}
