//! What a run came to: every record judged, counted, and printed as a table, each server in a column.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write as _;
use std::time::Duration;

use benches::client::Transports;
use shared::StreamName;

use crate::chaos::Fault;
use crate::checker::{Findings, Item, StreamTruth, check, check_part};
use crate::node_log;
use crate::producers;
use crate::scenario::Server;
use crate::sockets::{Record, Session};

/// Items that are printed before the first fault, and from it on.
const AROUND: usize = 5;
/// Records of which the faults are printed.
const PRINTED_MAX: usize = 12;
/// Sockets of which the whole story is printed.
const DIARIES_MAX: usize = 3;

/// Everything that a run left behind.
#[derive(Debug)]
pub struct Report {
    /// Whose.
    pub server: Server,
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
    /// What each producer was told.
    pub producers: Vec<producers::Record>,
    /// What each socket received.
    pub sockets: Vec<Record>,
    /// What each stream held.
    pub truths: BTreeMap<StreamName, StreamTruth>,
    /// The last lines of the edges' logs.
    pub edge_logs: String,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// About what the sockets received.
    pub judged: Findings,
    /// Reconnects with `recovered: true`.
    pub recovered: u64,
    /// Reconnects with `recovered: false`, unless the application had left.
    pub fresh: u64,
    /// Entries that came in none of a socket's sessions.
    pub absent: u64,
    /// Events that were received and are no entries.
    pub unstored: u64,
    /// The sockets with which something is wrong.
    wrong: BTreeSet<String>,
    /// What is wrong, in words.
    notes: Vec<String>,
}

impl Report {
    /// Judges every socket, and adds up.
    pub fn found(&self) -> Found {
        let mut found = Found::default();
        for record in &self.sockets {
            found.recovered += record.recovered;
            found.fresh += record.fresh;
            for (stream, sessions) in &record.items {
                self.judge(record, stream, sessions, &mut found);
            }
            for reason in &record.broken {
                found
                    .notes
                    .push(format!("{}: broken: {reason}", record.plan.name));
            }
        }
        found
    }

    fn judge(&self, record: &Record, stream: &StreamName, sessions: &[Session], found: &mut Found) {
        let (truth, mut received) = (&self.truths[stream], HashSet::new());
        for (number, Session { begin, items }) in sessions.iter().enumerate() {
            let items = match self.server {
                Server::Weir => Cow::Borrowed(items),
                Server::Node => {
                    let (items, unstored) = node_log::resolved(truth, items);
                    found.unstored += unstored;
                    received.extend(items.iter().filter_map(|item| match item {
                        Item::Event { event, .. } => Some(event.id),
                        _ => None,
                    }));
                    Cow::Owned(items)
                }
            };
            let judged = match number + 1 == sessions.len() {
                true => check(truth, *begin, &items),
                false => check_part(truth, *begin, &items),
            };
            if judged.faults() > 0 {
                found.wrong.insert(record.plan.name.clone());
                let at = judged.first_fault_at.unwrap_or(items.len());
                let around = &items[at.saturating_sub(AROUND)..items.len().min(at + AROUND)];
                let around: String = around.iter().map(|item| format!("    {item:?}\n")).collect();
                found.notes.push(format!(
                    "{} [{stream}], {} recovered, {} fresh:\n  {}\n  around the first, number {at} of {}:\n{around}",
                    record.plan.name,
                    record.recovered,
                    record.fresh + record.fresh_after_leaving,
                    judged.notes.join("\n  "),
                    items.len(),
                ));
            }
            found.judged.add(&judged);
        }
        if self.server == Server::Node {
            found.absent += node_log::absent(truth, &received);
        }
    }

    /// Events that the streams hold, and producers' acknowledged events that they do not hold, or hold twice.
    fn published(&self) -> [u64; 3] {
        let logged = || {
            self.truths
                .values()
                .flat_map(|truth| truth.histories.iter().flatten())
        };
        let mut counts: BTreeMap<(u16, u32), u64> = BTreeMap::new();
        logged().for_each(|entry| *counts.entry((entry.event.producer, entry.event.seq)).or_default() += 1);
        let mut lost = 0;
        for producer in &self.producers {
            let held = |seq: u32| counts.contains_key(&(producer.plan.number, seq));
            lost += producer
                .acknowledged
                .iter()
                .filter(|(seq, _)| !held(*seq))
                .count() as u64;
        }
        // A history that was set back shares its beginning with the one before.
        let one_history = self.truths.values().all(|truth| truth.histories.len() == 1);
        let twice = |((producer, _), count): &(&(u16, u32), &u64)| *producer > 0 && **count > 1;
        let doubled = counts.iter().filter(twice).count() as u64;
        [counts.values().sum(), lost, if one_history { doubled } else { 0 }]
    }

    fn rows(&self) -> Vec<(&'static str, u64)> {
        let sum = |of: fn(&Record) -> u64| self.sockets.iter().map(of).sum::<u64>();
        let found = self.found();
        let [events, lost, doubled] = self.published();
        let over = |transports| {
            let of = |record: &&Record| record.plan.transports == transports;
            self.sockets.iter().filter(of).count() as u64
        };
        let judged = &found.judged;
        vec![
            ("events in the streams", events),
            ("sockets over WebSocket", over(Transports::WebSocket)),
            ("  over polling", over(Transports::Polling)),
            ("  over polling, then WebSocket", over(Transports::Upgrade)),
            ("events handed to applications", judged.events),
            ("reconnects, recovered", found.recovered),
            (
                "  fresh, after the application had left",
                sum(|socket| socket.fresh_after_leaving),
            ),
            ("  fresh, without that", found.fresh),
            ("gaps told", judged.gaps),
            ("  events told as lost", judged.lost_told),
            ("resets told", judged.resets),
            (
                "subscriptions refused, then asked for again",
                sum(|socket| socket.refused),
            ),
            ("clients' connections cut", self.cuts),
            ("connections to Redis cut", self.redis_cuts),
            ("never received, fresh sessions included", found.absent),
            ("received, but stored nowhere", found.unstored),
            ("acknowledged to producers and lost", lost),
            ("doubled in the log", doubled),
            ("FAULT missing", judged.missing),
            ("FAULT doubled", judged.doubled),
            ("FAULT out of order", judged.out_of_order),
            ("FAULT wrong gaps", judged.wrong_gaps),
            ("FAULT wrong resets", judged.wrong_resets),
            ("FAULT unverified or unverifiable", judged.unproven),
            ("FAULT never in the log", judged.unknown),
            ("FAULT wrong ordinals", judged.wrong_ordinals),
            ("FAULT sent away by the server", sum(|socket| socket.sent_away)),
            ("FAULT recovered under another ID", sum(|socket| socket.renamed)),
            ("FAULT broken events", sum(|socket| socket.broken.len() as u64)),
        ]
    }

    /// Prints a table with a column for each report.
    pub fn print(reports: &[Self]) {
        let first = &reports[0];
        let mut kinds: BTreeMap<Fault, usize> = BTreeMap::new();
        for fault in &first.faults {
            *kinds.entry(*fault).or_default() += 1;
        }
        let kinds: Vec<String> = kinds
            .iter()
            .map(|(kind, count)| format!("{count} {kind:?}"))
            .collect();
        let mut out = format!(
            "\nseed {} (WEIR_FAULTS_SEED={0} draws the same), faults: {}\n",
            first.seed,
            kinds.join(", ")
        );
        let _ = write!(out, "{:<46}", "");
        for report in reports {
            let title = format!("{:?}, {:.0} s", report.server, report.took.as_secs_f64());
            let _ = write!(out, "{title:>14}");
        }
        let columns: Vec<_> = reports.iter().map(Self::rows).collect();
        for (index, (name, _)) in columns[0].iter().enumerate() {
            let _ = write!(out, "\n{name:<46}");
            for column in &columns {
                let _ = write!(out, "{:>14}", column[index].1);
            }
        }
        println!("{out}");
    }

    /// Panics with what is wrong if anything is.
    pub fn conclude(&self) {
        let found = self.found();
        for note in found.notes.iter().take(PRINTED_MAX) {
            println!("{note}");
        }
        let rows = self.rows();
        for socket in self
            .sockets
            .iter()
            .filter(|socket| found.wrong.contains(&socket.plan.name))
            .take(DIARIES_MAX)
        {
            println!("{}:", socket.plan.name);
            socket
                .diary
                .iter()
                .for_each(|(events, what)| println!("  after {events} events: {what}"));
        }
        let wrong = |(name, _): &&(&str, u64)| {
            name.starts_with("FAULT") || name.starts_with("acknowledged") || name.starts_with("doubled")
        };
        let faults: u64 = rows.iter().filter(wrong).map(|(_, count)| count).sum();
        let removes = self.faults.contains(&Fault::LoseSessions);
        let groundless = if removes { 0 } else { found.fresh };
        if faults + groundless > 0 {
            for socket in &self.sockets {
                println!("{}: {:?}", socket.plan.name, socket.endings);
            }
            println!("{}", self.edge_logs);
        }
        assert_eq!(faults, 0, "the promise is broken: see the table above");
        assert_eq!(groundless, 0, "sessions were fresh without a reason");
    }
}
