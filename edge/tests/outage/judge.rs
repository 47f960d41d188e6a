//! Holds what was told in a case against what the log held.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use shared::{EntryId, StreamName};

use crate::case::{Case, VICTIM};
use crate::checker::{Findings, Item, Outages, check};
use crate::publishers::{self, Attempt};
use crate::run::Outcome as Run;

/// How long Redis has been away when nothing waits for it any more that it has not been sent: those who are told wait for
/// [`shared::limits::APPEND_OUTAGE_WAIT`], those who have to find out need [`shared::limits::APPEND_ANSWER_TIMEOUT`] before that.
const KNOWN: Duration = Duration::from_secs(3);
const FOUND_OUT: Duration = Duration::from_secs(10);

/// About the publishers of a case.
#[derive(Debug, Default)]
pub struct Published {
    /// Events acknowledged.
    pub acknowledged: u64,
    /// Events refused.
    pub refused: u64,
    /// Tries without a clear answer.
    pub doubtful_tries: u64,
    /// Events that stayed in doubt, for they have no key.
    pub doubtful: u64,
    /// Of these, in the log.
    pub doubtful_there: u64,
    /// The slowest answer of all.
    pub slowest: Duration,
    /// Half of what was refused while it was known that Redis was away was refused within this time; `None`: nothing was.
    pub refused_within: Option<Duration>,
    /// Fault: acknowledged, and not in the log where the answer said.
    pub lost: u64,
    /// Fault: more than once in a history of the log.
    pub doubled: u64,
    /// Fault: refused, and in the log.
    pub refused_there: u64,
    /// Fault: in the log, and nobody was told anything of it.
    pub unknown_there: u64,
    /// Fault: no answer at all.
    pub hung: u64,
    /// Fault: an answer that should not have come.
    pub strange: Vec<String>,
}

/// Looks for everything that publishers were told in the log.
pub fn published(run: &Run) -> Published {
    let mut found = Published::default();
    let mut refused_in = Vec::new();
    for record in &run.publishers {
        found.acknowledged += record.acknowledged.len() as u64;
        found.refused += record.refused.len() as u64;
        found.doubtful += record.doubtful.len() as u64;
        found.hung += record.hung;
        found.strange.extend(record.strange.iter().cloned());
        for attempt in &record.attempts {
            found.slowest = found.slowest.max(attempt.took);
            found.doubtful_tries += u64::from(attempt.outcome == publishers::Outcome::Doubtful);
            if refused_when_known(run, attempt) {
                refused_in.push(attempt.took);
            }
        }
        look_up(run, record, &mut found);
    }
    refused_in.sort_unstable();
    found.refused_within = refused_in.get(refused_in.len() / 2).copied();
    found
}

fn refused_when_known(run: &Run, attempt: &Attempt) -> bool {
    let known_after = if run.case.is_told() { KNOWN } else { FOUND_OUT };
    let meanwhile = attempt.at >= run.began + known_after && attempt.at + attempt.took < run.ended;
    meanwhile && attempt.outcome == publishers::Outcome::Refused
}

fn look_up(run: &Run, record: &publishers::Record, found: &mut Published) {
    let truth = &run.truths[&record.plan.stream];
    let mut there: HashMap<u32, HashSet<EntryId>> = HashMap::new();
    for history in &truth.histories {
        let mut in_history: HashMap<u32, u32> = HashMap::new();
        let own = history.iter().map(|entry| entry.event);
        for event in own.filter(|event| event.producer == record.plan.number) {
            *in_history.entry(event.seq).or_default() += 1;
            there.entry(event.seq).or_default().insert(event.id);
        }
        found.doubled += in_history.values().filter(|count| **count > 1).count() as u64;
    }
    for (number, id) in &record.acknowledged {
        let is_there = there.get(number).is_some_and(|ids| ids.contains(id));
        found.lost += u64::from(!is_there);
    }
    let count = |numbers: &[u32]| numbers.iter().filter(|number| there.contains_key(number)).count() as u64;
    found.refused_there += count(&record.refused);
    found.doubtful_there += count(&record.doubtful);
    let acknowledged = record.acknowledged.iter().map(|(number, _)| number);
    let told: HashSet<&u32> = acknowledged
        .chain(&record.refused)
        .chain(&record.doubtful)
        .collect();
    found.unknown_there += there.keys().filter(|number| !told.contains(number)).count() as u64;
}

/// About the subscribers of a case.
#[derive(Debug, Default)]
pub struct Received {
    /// What they received.
    pub judged: Findings,
    /// Subscribers.
    pub subscribers: u64,
    /// Times that one of them came back after its connection had ended.
    pub reconnects: u64,
    /// Fault: of these, those without a reason.
    pub groundless: u64,
    /// Outages of a stream that one of them was told of, from `degraded` to `restored`.
    pub outages: u64,
    /// Fault: streams of which one of them was told of too many outages, or of none.
    pub untrue_outages: u64,
    /// Fault: Socket.IO clients that were refused, sent away, or renamed.
    pub turned_away: u64,
    /// Fault: what could not be understood.
    pub broken: u64,
    /// What is wrong, in words.
    pub notes: Vec<String>,
}

/// Judges every subscriber.
pub fn received(run: &Run) -> Received {
    let mut found = Received::default();
    for record in &run.subscribers {
        let name = &record.plan.name;
        for (stream, items) in &record.items {
            found.judge(run, name, stream, record.begin(), items);
        }
        found.broken(name, &record.broken);
        // The last one is the subscriber's own.
        let ends = record.endings.values().sum::<u64>().saturating_sub(1);
        let may = record.plan.first_edge.is_some_and(|edge| run.case.is_down(edge));
        found.ended(name, ends, if may { 1 } else { 0 }, &record.endings);
        let edges = record.plan.first_edge.map_or(0..run.edges, |edge| edge..edge + 1);
        found.outages(
            name,
            outages_expected(run, edges),
            &record.plan.streams,
            &record.outages,
        );
    }
    for record in &run.sockets {
        let name = &record.plan.name;
        for (stream, sessions) in &record.items {
            for session in sessions {
                found.judge(run, name, stream, session.begin, &session.items);
            }
        }
        found.broken(name, &record.broken);
        found.turned_away += record.refused + record.sent_away + record.renamed;
        let ends = record.endings.values().sum();
        found.ended(name, ends, reconnects_of_sockets(run.case), &record.endings);
        // It may be at any edge.
        let expected = outages_expected(run, 0..run.edges);
        found.outages(name, expected, &record.plan.streams, &record.outages);
    }
    found.subscribers = (run.subscribers.len() + run.sockets.len()) as u64;
    found
}

/// How many outages of each stream somebody is told of who is at one of these edges. An edge that has to find out may not do so
/// before it is over.
fn outages_expected(run: &Run, edges: Range<usize>) -> RangeInclusive<u64> {
    let cut_off = edges.clone().filter(|edge| run.case.is_cut_off(*edge)).count();
    let is_long = run.case.is_told() || run.ended - run.began >= FOUND_OUT;
    let least = u64::from(cut_off == edges.len() && is_long);
    least..=u64::from(cut_off > 0)
}

/// How often a Socket.IO client may have to come back. It may have been at any edge.
fn reconnects_of_sockets(case: Case) -> u64 {
    if case.is_down(VICTIM) { u64::MAX } else { 0 }
}

impl Received {
    fn judge(
        &mut self,
        run: &Run,
        name: &str,
        stream: &StreamName,
        begin: crate::checker::Begin,
        items: &[Item],
    ) {
        let judged = check(&run.truths[stream], begin, items);
        if judged.faults() > 0 {
            self.notes
                .push(format!("{name} [{stream}]: {}", judged.notes.join("; ")));
        }
        self.judged.add(&judged);
    }

    fn outages(
        &mut self,
        name: &str,
        expected: RangeInclusive<u64>,
        streams: &[StreamName],
        outages: &Outages,
    ) {
        for stream in streams {
            let told = outages.over(stream);
            self.outages += told;
            if !expected.contains(&told) {
                self.untrue_outages += 1;
                self.notes.push(format!(
                    "{name} [{stream}]: told of {told} outages, expected {expected:?}"
                ));
            }
        }
    }

    fn broken(&mut self, name: &str, broken: &[String]) {
        self.broken += broken.len() as u64;
        self.notes
            .extend(broken.iter().map(|why| format!("{name}: broken: {why}")));
    }

    fn ended(&mut self, name: &str, ends: u64, may: u64, endings: &BTreeMap<String, u64>) {
        self.reconnects += ends;
        if ends > may {
            self.groundless += ends - may;
            self.notes
                .push(format!("{name} had to come back {ends} times: {endings:?}"));
        }
    }
}
