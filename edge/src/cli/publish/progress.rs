//! What is told while lines are published, and at the end: a line that moves on a terminal, notices, the counts.

use std::fmt::Write;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::cli::terminal::Notice;

/// How often the moving line is drawn without anything new, for the rate to be right.
const TICK: std::time::Duration = std::time::Duration::from_millis(250);

/// The counts of one run.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    /// Lines that are published.
    pub(super) published: u64,
    /// Those of them that were there already.
    pub(super) duplicates: u64,
    /// Those of them that do not stand in the stream where they stand in the input.
    pub(super) misplaced: u64,
    /// Lines that are not published and will not be.
    pub(super) refused: u64,
    /// Lines in which bytes were replaced.
    pub(super) repaired: u64,
}

/// Tells people how it goes. On a terminal only there is something that moves.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    bar: ProgressBar,
    began: Instant,
}

impl Progress {
    /// Begins to tell. `moving`: whether standard error may be drawn on.
    pub(super) fn new(moving: bool) -> Self {
        let bar = ProgressBar::no_length();
        bar.set_draw_target(match moving {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        });
        if let Ok(style) =
            ProgressStyle::with_template("{spinner} {human_pos} published, {rate} a second{msg}")
        {
            let rate = |state: &ProgressState, out: &mut dyn Write| {
                // A terminal that takes nothing has nobody before it.
                let _ = write!(out, "{:.0}", state.per_sec());
            };
            bar.set_style(style.with_key("rate", rate));
        }
        if moving {
            bar.enable_steady_tick(TICK);
        }
        Self {
            bar,
            began: Instant::now(),
        }
    }

    /// Prints a notice above what moves.
    pub(super) fn say(&self, notice: &Notice) {
        self.bar.suspend(|| notice.print());
    }

    /// Shows where it stands.
    pub(super) fn show(&self, counts: &Counts, unacknowledged: usize, connected: bool) {
        if self.bar.is_hidden() {
            return;
        }
        self.bar.set_position(counts.published);
        let connection = if connected { "" } else { ", connecting" };
        self.bar
            .set_message(format!(", {unacknowledged} unacknowledged{connection}"));
    }

    /// Takes away what moves, and brings the line that sums up.
    pub(super) fn finish(&self, counts: &Counts, stream: &str) -> String {
        self.bar.finish_and_clear();
        summary(counts, stream, self.began.elapsed().as_secs_f64())
    }
}

fn summary(counts: &Counts, stream: &str, seconds: f64) -> String {
    let lines = |count: u64| {
        if count == 1 {
            "1 line".to_owned()
        } else {
            format!("{count} lines")
        }
    };
    let mut text = format!(
        "{} published to {stream} in {seconds:.1} s",
        lines(counts.published)
    );
    if seconds >= 1.0 {
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = counts.published as f64 / seconds;
        text += &format!(" ({rate:.0} a second)");
    }
    if counts.duplicates > 0 {
        text += &format!(", {} of them were there already", counts.duplicates);
    }
    if counts.repaired > 0 {
        text += &format!(", {} held bytes that are not UTF-8 (replaced)", counts.repaired);
    }
    if counts.refused > 0 {
        text += &format!("; {} refused", lines(counts.refused));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_says_what_matters() {
        let plain = Counts {
            published: 1,
            ..Counts::default()
        };
        assert_eq!(summary(&plain, "a", 0.04), "1 line published to a in 0.0 s");
        let all = Counts {
            published: 5_000,
            duplicates: 2,
            misplaced: 0,
            refused: 3,
            repaired: 1,
        };
        assert_eq!(
            summary(&all, "a", 2.0),
            "5000 lines published to a in 2.0 s (2500 a second), 2 of them were there already, 1 held bytes that are \
             not UTF-8 (replaced); 3 lines refused"
        );
    }
}
