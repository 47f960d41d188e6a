//! A logarithmic axis: where a number stands on it, and which numbers are written at it.

/// From `low` to `high`, both whole powers of ten or twice or five times one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Logarithmic {
    low: f64,
    high: f64,
}

/// Numbers at an axis at most; with more, only powers of ten stand there.
const TICKS_MAX: usize = 9;

impl Logarithmic {
    /// An axis on which all these numbers have a place. They are above 0.
    pub(super) fn over(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values.fold((f64::MAX, f64::MIN_POSITIVE), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        if low > high {
            return Self { low: 1.0, high: 10.0 };
        }
        let (low, high) = (round(low, false), round(high, true));
        // One number alone stands at the lower end.
        let high = if high > low { high } else { round(low * 1.5, true) };
        Self { low, high }
    }

    /// The place of a number: 0 is the lower end, 1 the upper.
    pub(super) fn place(self, value: f64) -> f64 {
        (value / self.low).log10() / (self.high / self.low).log10()
    }

    /// The numbers at the axis, from the lower end to the upper.
    pub(super) fn ticks(self) -> Vec<f64> {
        let first = self.low.log10().floor() as i32;
        let last = self.high.log10().ceil() as i32;
        let within = |value: &f64| *value >= self.low * 0.999 && *value <= self.high * 1.001;
        let all = |steps: &[f64]| -> Vec<f64> {
            (first..=last)
                .flat_map(|power| steps.iter().map(move |step| step * 10_f64.powi(power)))
                .filter(within)
                .collect()
        };
        let fine = all(&[1.0, 2.0, 5.0]);
        if fine.len() <= TICKS_MAX {
            fine
        } else {
            all(&[1.0])
        }
    }
}

/// The nearest of 1, 2, 5, 10, … above or below.
fn round(value: f64, up: bool) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let step = value / power;
    // A number that is one of them stays what it is, however it was computed.
    let steps = [1.0, 2.0, 5.0, 10.0];
    let step = if up {
        steps.into_iter().find(|known| step <= known * 1.000_001)
    } else {
        steps.into_iter().rev().find(|known| step >= known * 0.999_999)
    };
    step.unwrap_or(1.0) * power
}

/// A number at an axis, short: `0.05`, `200`, `20k`, `1M`.
pub(super) fn short(value: f64) -> String {
    for (size, letter) in [(1e9, "G"), (1e6, "M"), (1e3, "k")] {
        if value >= size * 0.999 {
            return format!("{}{letter}", trimmed(value / size));
        }
    }
    trimmed(value)
}

fn trimmed(value: f64) -> String {
    let digits = format!("{value:.4}");
    digits.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_axis_begins_and_ends_with_round_numbers() {
        let axis = Logarithmic::over([20.0, 450.0].into_iter());
        assert_eq!(axis.ticks(), [20.0, 50.0, 100.0, 200.0, 500.0]);
        let axis = Logarithmic::over([0.3, 70_000.0].into_iter());
        assert_eq!(axis.ticks(), [1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0]);
    }

    #[test]
    fn numbers_at_an_axis_are_short() {
        for (value, text) in [
            (0.05, "0.05"),
            (5.0, "5"),
            (200.0, "200"),
            (1_000.0, "1k"),
            (50_000.0, "50k"),
            (1e6, "1M"),
        ] {
            assert_eq!(short(value), text);
        }
    }

    proptest! {
        #[test]
        fn every_number_has_its_place(values in prop::collection::vec(1e-6..1e12_f64, 1..20)) {
            let axis = Logarithmic::over(values.iter().copied());
            for value in &values {
                let place = axis.place(*value);
                prop_assert!((-1e-6..=1.0 + 1e-6).contains(&place), "{value} stands at {place} of {axis:?}");
            }
            prop_assert!(!axis.ticks().is_empty());
            prop_assert!(axis.ticks().is_sorted());
        }
    }
}
