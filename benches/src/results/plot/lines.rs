//! Lines: a value of each server over the scenario's axis, both logarithmic.

use super::canvas::{Anchor, Canvas, FONT, GRID, INK, LETTER};
use super::scale::{Logarithmic, short};
use super::{Outcome, colour};

const LEFT: f64 = 60.0;
const TOP: f64 = 40.0;
const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 300.0;
const BOTTOM: f64 = 46.0;
const LEGEND_GAP: f64 = 16.0;

/// Draws one line for each server. A logarithmic axis has no place for 0: such values are left out, the table has them.
pub(super) fn draw(title: &str, axis: &str, servers: &[&str], measured: &[(&Outcome, f64)]) -> String {
    let points: Vec<(&str, f64, f64)> = measured
        .iter()
        .filter_map(|(outcome, value)| {
            let at = outcome.at.as_ref()?.value;
            (*value > 0.0 && at > 0.0).then_some((outcome.server.as_str(), at, *value))
        })
        .collect();
    let across = Logarithmic::over(points.iter().map(|(_, at, _)| *at));
    let up = Logarithmic::over(points.iter().map(|(_, _, value)| *value));
    let x = |at: f64| LEFT + across.place(at) * WIDTH;
    let y = |value: f64| TOP + (1.0 - up.place(value)) * HEIGHT;

    let longest = servers.iter().map(|server| server.chars().count()).max();
    let legend = LETTER * longest.unwrap_or(0) as f64 + 2.0 * LEGEND_GAP;
    let mut canvas = Canvas::new(LEFT + WIDTH + legend + LEGEND_GAP, TOP + HEIGHT + BOTTOM, title);
    for tick in across.ticks() {
        canvas.line((x(tick), TOP), (x(tick), TOP + HEIGHT), GRID);
        canvas.text(x(tick), TOP + HEIGHT + FONT, Anchor::Middle, INK, &short(tick));
    }
    for tick in up.ticks() {
        canvas.line((LEFT, y(tick)), (LEFT + WIDTH, y(tick)), GRID);
        canvas.text(LEFT - 6.0, y(tick), Anchor::End, INK, &short(tick));
    }
    let below = TOP + HEIGHT + 2.6 * FONT;
    canvas.text(LEFT + WIDTH / 2.0, below, Anchor::Middle, INK, axis);
    for (place, server) in servers.iter().enumerate() {
        let mut line: Vec<(f64, f64)> = points
            .iter()
            .filter(|(of, _, _)| of == server)
            .map(|(_, at, value)| (*at, *value))
            .collect();
        line.sort_by(|a, b| a.0.total_cmp(&b.0));
        let line: Vec<(f64, f64)> = line.into_iter().map(|(at, value)| (x(at), y(value))).collect();
        let colour = colour(servers, server);
        canvas.path(&line, colour);
        let row = TOP + FONT + 1.6 * FONT * place as f64;
        canvas.text(LEFT + WIDTH + LEGEND_GAP, row, Anchor::Start, colour, server);
    }
    canvas.finish()
}
