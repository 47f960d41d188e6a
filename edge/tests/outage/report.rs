//! What all cases came to: a table with a column for each.

use std::fmt::Write as _;
use std::time::Duration;

use crate::case::Case;
use crate::judge::{self, Published, Received};
use crate::run::Outcome;

/// Things that are wrong, of which so many are printed for each case.
const PRINTED_MAX: usize = 12;
/// Half of what is refused while it is known that Redis is away has to be refused within this time: less than what waits
/// for it ([`shared::limits::APPEND_OUTAGE_WAIT`]).
const AT_ONCE: Duration = Duration::from_millis(1_000);

/// A case, judged.
struct Column<'a> {
    run: &'a Outcome,
    published: Published,
    received: Received,
}

/// Prints the table, and panics with what is wrong if anything is.
pub fn conclude(runs: &[Outcome]) {
    let judge = |run| Column {
        run,
        published: judge::published(run),
        received: judge::received(run),
    };
    let columns: Vec<Column<'_>> = runs.iter().map(judge).collect();
    println!("{}", table(&columns));
    let mut faults = 0;
    for column in &columns {
        let of_case: u64 = column
            .rows()
            .iter()
            .filter(|row| is_fault(row))
            .map(|row| row.1)
            .sum();
        if of_case > 0 {
            column.print();
        }
        faults += of_case;
    }
    assert_eq!(faults, 0, "the promise is broken: see the table above");
    for column in &columns {
        column.has_shown_something();
    }
}

fn is_fault(row: &(&'static str, u64)) -> bool {
    row.0.starts_with("FAULT")
}

fn table(columns: &[Column<'_>]) -> String {
    let mut out = format!("\n{:<40}", "");
    for column in columns {
        let _ = write!(out, "{:>12}", column.run.case.name());
    }
    let rows: Vec<_> = columns.iter().map(Column::rows).collect();
    for (index, (name, _)) in rows.first().into_iter().flatten().enumerate() {
        let _ = write!(out, "\n{name:<40}");
        for column in &rows {
            let _ = write!(out, "{:>12}", column[index].1);
        }
    }
    out
}

impl Column<'_> {
    fn rows(&self) -> Vec<(&'static str, u64)> {
        let (published, received) = (&self.published, &self.received);
        let (judged, run) = (&received.judged, self.run);
        let ms = |time: Duration| time.as_millis() as u64;
        vec![
            ("wrong for so many ms", ms(run.ended - run.began)),
            ("  edges say so after ms", ms(run.noticed_after)),
            ("ms until edges are ready again", ms(run.ready_after)),
            ("  until all publish again", ms(run.acknowledged_after)),
            ("events acknowledged", published.acknowledged),
            ("  refused", published.refused),
            ("  tries that left it in doubt", published.doubtful_tries),
            ("  left in doubt, without a key", published.doubtful),
            ("    in the log", published.doubtful_there),
            ("ms of the slowest answer", ms(published.slowest)),
            (
                "  half the refusals within ms",
                ms(published.refused_within.unwrap_or_default()),
            ),
            ("subscribers", received.subscribers),
            ("  reconnects", received.reconnects),
            ("  events received", judged.events),
            ("  resets told", judged.resets),
            ("  outages told, of a stream", received.outages),
            ("FAULT acknowledged and lost", published.lost),
            ("FAULT doubled in the log", published.doubled),
            ("FAULT refused, and in the log", published.refused_there),
            ("FAULT in the log, nobody was told", published.unknown_there),
            ("FAULT no answer at all", published.hung),
            ("FAULT strange answers", published.strange.len() as u64),
            ("FAULT refused slowly", u64::from(self.refuses_slowly())),
            ("FAULT missing without a verdict", judged.missing),
            ("FAULT doubled", judged.doubled),
            ("FAULT out of order", judged.out_of_order),
            ("FAULT gaps", judged.gaps + judged.wrong_gaps),
            ("FAULT resets without a reason", self.groundless_resets()),
            ("FAULT unverified or unverifiable", judged.unproven),
            ("FAULT never in the log", judged.unknown),
            ("FAULT wrong ordinals", judged.wrong_ordinals),
            ("FAULT reconnects without a reason", received.groundless),
            ("FAULT clients turned away", received.turned_away),
            ("FAULT outages told wrongly", received.untrue_outages),
            ("FAULT broken frames", received.broken),
        ]
    }

    fn refuses_slowly(&self) -> bool {
        self.published
            .refused_within
            .is_some_and(|within| within > AT_ONCE)
    }

    fn groundless_resets(&self) -> u64 {
        let judged = &self.received.judged;
        match self.run.case {
            Case::RedisEmptied => judged.wrong_resets,
            _ => judged.resets,
        }
    }

    fn print(&self) {
        let name = self.run.case.name();
        let strange = self.published.strange.iter();
        for note in self.received.notes.iter().chain(strange).take(PRINTED_MAX) {
            println!("{name}: {note}");
        }
        println!("{}", self.run.edge_logs);
    }

    /// A case in which nothing happened shows nothing.
    fn has_shown_something(&self) {
        let (case, received, judged) = (self.run.case, &self.received, &self.received.judged);
        assert!(judged.events > 0 && self.published.acknowledged > 0, "{case:?}");
        let refused = self.published.refused_within.is_some();
        let cut_off = (0..self.run.edges).any(|edge| case.is_cut_off(edge));
        assert!(
            refused || !(cut_off && case.is_told()),
            "nothing was refused: {case:?}"
        );
        assert!(
            received.outages > 0 || !(cut_off && case.is_told()),
            "nobody was told of the outage: {case:?}"
        );
        let came_back = self.received.reconnects > 0;
        let down = (0..self.run.edges).any(|edge| case.is_down(edge));
        assert!(came_back || !down, "nobody had to come back: {case:?}");
        assert!(judged.resets > 0 || case != Case::RedisEmptied, "nobody was told");
    }
}
