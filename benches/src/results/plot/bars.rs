//! Bars: one for each outcome, from 0.

use super::canvas::{Anchor, Canvas, INK, LETTER};
use super::{Outcome, Unit, colour};

const TOP: f64 = 40.0;
const WIDTH: f64 = 400.0;
const ROW: f64 = 22.0;
const BAR: f64 = 16.0;
const MARGIN: f64 = 12.0;
/// Room for the number behind the longest bar.
const NUMBER: f64 = 80.0;

/// Draws the outcomes from top to bottom, each with its number.
pub(super) fn draw(title: &str, unit: Unit, servers: &[&str], measured: &[(&Outcome, f64)]) -> String {
    let labels: Vec<String> = measured.iter().map(|(outcome, _)| outcome.label()).collect();
    let longest = labels.iter().map(|label| label.chars().count()).max();
    let left = 2.0 * MARGIN + LETTER * longest.unwrap_or(0) as f64;
    let most = measured.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    let wide = (left + WIDTH + NUMBER).max(2.0 * MARGIN + 1.3 * LETTER * title.chars().count() as f64);
    let mut canvas = Canvas::new(wide, TOP + ROW * measured.len() as f64 + MARGIN, title);
    for (row, ((outcome, value), label)) in measured.iter().zip(&labels).enumerate() {
        let top = TOP + ROW * row as f64;
        let length = if most > 0.0 {
            WIDTH * value.max(0.0) / most
        } else {
            0.0
        };
        canvas.text(left - MARGIN / 2.0, top + ROW / 2.0, Anchor::End, INK, label);
        let colour = colour(servers, &outcome.server);
        canvas.bar(left, top + (ROW - BAR) / 2.0, length, BAR, colour);
        let number = unit.digits(*value);
        canvas.text(left + length + 5.0, top + ROW / 2.0, Anchor::Start, INK, &number);
    }
    canvas.finish()
}
