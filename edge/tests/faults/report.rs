//! What a run came to: every record judged, counted, and printed as a table.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::time::Duration;

use shared::{EntryId, StreamName};

use crate::chaos::Fault;
use crate::checker::{Findings, StreamTruth, check};
use crate::{producers, subscribers};

/// Items that are printed before the first fault, and from it on.
const AROUND: usize = 5;
/// Records of which the faults are printed.
const PRINTED_MAX: usize = 12;

/// Everything that a run left behind.
#[derive(Debug)]
pub struct Report {
    /// What decided everything.
    pub seed: u64,
    /// The faults that were done.
    pub faults: Vec<Fault>,
    /// How long the run took.
    pub took: Duration,
    /// Connections of clients that were cut.
    pub cuts: u64,
    /// Connections to Redis that were cut.
    pub redis_cuts: u64,
    /// When Redis last lost its last writes, in milliseconds since 1970.
    pub power_lost_at_ms: Option<u64>,
    /// Bytes of half-written transactions that were taken from the end of Redis's file after it was killed.
    pub torn_bytes: u64,
    /// What each producer was told.
    pub producers: Vec<producers::Record>,
    /// What each subscriber received.
    pub subscribers: Vec<subscribers::Record>,
    /// What each stream held.
    pub truths: BTreeMap<StreamName, StreamTruth>,
    /// The last lines of the edges' logs.
    pub edge_logs: String,
}

/// What was found about the producers.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Acknowledged events.
    pub acknowledged: u64,
    /// Acknowledged events that a power failure or a fail-over took away.
    pub lost_with_power: u64,
    /// Fault: acknowledged events that are not where the answer said.
    pub lost: u64,
    /// Fault: events that are in the log more than once.
    pub doubled: u64,
}

impl Report {
    /// Looks for every acknowledged event in the log.
    pub fn published(&self) -> Published {
        let mut found = Published::default();
        for producer in &self.producers {
            let number = producer.plan.number;
            let truth = &self.truths[&producer.plan.stream];
            for history in &truth.histories {
                let mut seen: HashMap<u32, u32> = HashMap::new();
                for entry in history.iter().filter(|entry| entry.event.producer == number) {
                    *seen.entry(entry.event.seq).or_default() += 1;
                }
                found.doubled += seen.values().filter(|count| **count > 1).count() as u64;
            }
            let there: HashMap<EntryId, u32> = truth
                .histories
                .iter()
                .flatten()
                .filter(|entry| entry.event.producer == number)
                .map(|entry| (entry.event.id, entry.event.seq))
                .collect();
            for (seq, id) in &producer.acknowledged {
                found.acknowledged += 1;
                if there.get(id) == Some(seq) {
                    continue;
                }
                match self.power_lost_at_ms {
                    Some(at_ms) if id.ms <= at_ms => found.lost_with_power += 1,
                    _ => found.lost += 1,
                }
            }
        }
        found
    }

    /// Judges every subscriber, and adds up.
    pub fn received(&self) -> (Findings, Vec<String>) {
        let mut all = Findings::default();
        let mut notes = Vec::new();
        for record in &self.subscribers {
            for (stream, items) in &record.items {
                let found = check(&self.truths[stream], record.begin(), items);
                if found.faults() > 0 {
                    let at = found.first_fault_at.unwrap_or(items.len());
                    let around = &items[at.saturating_sub(AROUND)..items.len().min(at + AROUND)];
                    notes.push(format!(
                        "{} [{stream}]:\n  {}\n  around the first, number {at} of {}:\n{}",
                        record.plan.name,
                        found.notes.join("\n  "),
                        items.len(),
                        around
                            .iter()
                            .map(|item| format!("    {item:?}\n"))
                            .collect::<String>(),
                    ));
                }
                all.add(&found);
            }
            for reason in &record.broken {
                notes.push(format!("{}: a broken frame: {reason}", record.plan.name));
            }
        }
        (all, notes)
    }

    fn rows(&self, published: &Published, received: &Findings) -> Vec<(&'static str, u64)> {
        let sum = |of: fn(&producers::Record) -> u64| self.producers.iter().map(of).sum();
        let total = |of: fn(&subscribers::Record) -> u64| self.subscribers.iter().map(of).sum();
        vec![
            ("events acknowledged", published.acknowledged),
            ("  lines sent again", sum(|p| p.repeated)),
            ("  lines refused, then sent again", sum(|p| p.refused)),
            ("  raw XADDs without an answer", sum(|p| p.unknown)),
            ("  connections of producers", sum(|p| p.connections)),
            ("subscribers", self.subscribers.len() as u64),
            ("  connections", total(|s| s.connections)),
            ("  cut in mid-frame", total(|s| s.cut_in_mid_frame)),
            ("  events received", received.events),
            ("  gaps told", received.gaps),
            ("  events told as lost", received.lost_told),
            ("  resets told", received.resets),
            ("connections cut, clients'", self.cuts),
            ("connections cut, to Redis", self.redis_cuts),
            ("half-written bytes cut from the AOF", self.torn_bytes),
            ("acknowledged, lost by Redis", published.lost_with_power),
            ("FAULT acknowledged and lost", published.lost),
            ("FAULT doubled in the log", published.doubled),
            ("FAULT missing without a verdict", received.missing),
            ("FAULT doubled", received.doubled),
            ("FAULT out of order", received.out_of_order),
            ("FAULT wrong gaps", received.wrong_gaps),
            ("FAULT wrong resets", received.wrong_resets),
            ("FAULT unverified or unverifiable", received.unproven),
            ("FAULT never in the log", received.unknown),
            ("FAULT wrong ordinals", received.wrong_ordinals),
            ("FAULT broken frames", total(|s| s.broken.len() as u64)),
        ]
    }

    /// Prints the table, and panics with what is wrong if anything is.
    pub fn conclude(&self) -> (Published, Findings) {
        let published = self.published();
        let (received, notes) = self.received();
        let mut kinds: BTreeMap<Fault, usize> = BTreeMap::new();
        for fault in &self.faults {
            *kinds.entry(*fault).or_default() += 1;
        }
        let kinds: Vec<String> = kinds
            .iter()
            .map(|(kind, count)| format!("{count} {kind:?}"))
            .collect();
        let mut out = format!(
            "\nseed {} (WEIR_FAULTS_SEED={0} draws the same), {:.1} s, faults: {}\n",
            self.seed,
            self.took.as_secs_f64(),
            kinds.join(", ")
        );
        let mut faults = 0;
        for (name, count) in self.rows(&published, &received) {
            let _ = writeln!(out, "{name:<36}{count:>10}");
            faults += if name.starts_with("FAULT") { count } else { 0 };
        }
        println!("{out}");
        for note in notes.iter().take(PRINTED_MAX) {
            println!("{note}");
        }
        if faults > 0 {
            println!("{}", self.edge_logs);
        }
        assert_eq!(faults, 0, "the promise is broken: see the table above");
        (published, received)
    }
}
