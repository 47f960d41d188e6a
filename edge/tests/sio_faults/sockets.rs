//! The applications: each has a client, subscribes, and records what the client hands to it. They do what an application
//! should: subscribe again when a session is fresh, from the last cursor they saw; and ask again for what was never
//! acknowledged. They judge nothing.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use benches::client::{Client, Event, Options, Reason, Received, Transports};
use shared::{Cursor, StreamName};
use tokio::time::{Instant, sleep, sleep_until};

use crate::checker::{Begin, Item, Outages};
use crate::dialect::{Dialect, Subscribed};
use crate::surroundings::Surroundings;

/// How often one that waits looks whether it may go on.
const POLL: Duration = Duration::from_millis(5);
/// How long a slow reader waits for one event at the most: one that takes nothing at all counts as gone.
const SLOW_POLLS_MAX: u32 = 50;
/// Events between two naps, or between two farewells, on average.
const EVENTS_BETWEEN: u32 = 400;
/// Events that one takes before it takes nothing any more.
const BEFORE_STALL: u64 = 10;
/// Asked of the system for the sockets of those who take little, so that the network holds little.
const RECEIVE_BYTES: u32 = 32 * 1024;
/// Entries of a diary.
const DIARY_MAX: usize = 1_000;
/// Pause before a subscription that was refused is asked for again.
const AGAIN: Duration = Duration::from_millis(50);
/// Longest time that opening a connection may take.
const TIMEOUT: Duration = Duration::from_secs(3);
/// First and longest pause before a client comes back.
const RECONNECTION_DELAY: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(300)];

/// What an application does as long as the faults last. Afterwards each reads as fast as it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    /// Reads as fast as it can.
    Fast,
    /// Takes one event for each hundred that are published.
    Slow,
    /// Falls asleep now and then, with its connection open, until some more faults have happened.
    Sleepy,
    /// Takes a few events and then nothing, with its connection open, until all is calm.
    Stalled,
    /// Leaves now and then, so that the server forgets it, and comes back.
    Leaving,
}

/// An application.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Shown in reports.
    pub name: String,
    /// How it is connected.
    pub transports: Transports,
    /// Whether it keeps its connections, where it polls.
    pub keep_alive: bool,
    /// Through which of the proxies it goes.
    pub front: usize,
    /// Its own address.
    pub local: IpAddr,
    /// What it follows.
    pub streams: Vec<StreamName>,
    /// `start` or `now`.
    pub begin: &'static str,
    /// What it does.
    pub habit: Habit,
    /// What it speaks.
    pub dialect: Dialect,
    /// Decides over pauses.
    pub seed: u64,
}

/// What came of one stream in one session, or in several that joined without a break.
#[derive(Debug)]
pub struct Session {
    /// Where it began.
    pub begin: Begin,
    /// What was handed on.
    pub items: Vec<Item>,
}

/// What an application saw.
#[derive(Debug)]
pub struct Record {
    /// Who.
    pub plan: Plan,
    /// What, stream by stream.
    pub items: BTreeMap<StreamName, Vec<Session>>,
    /// Reconnects with `recovered: true`.
    pub recovered: u64,
    /// Reconnects with `recovered: false`, unless the application had left.
    pub fresh: u64,
    /// Reconnects with `recovered: false` after it had left.
    pub fresh_after_leaving: u64,
    /// Times that the server sent it away or refused it for good, so that the official client would stay away.
    pub sent_away: u64,
    /// Recovered sockets with another ID.
    pub renamed: u64,
    /// Subscriptions that were refused, and asked for again.
    pub refused: u64,
    /// What it was told of outages.
    pub outages: Outages,
    /// How connections ended, and how often.
    pub endings: BTreeMap<String, u64>,
    /// Events that could not be understood, each with the reason.
    pub broken: Vec<String>,
    /// What happened beside events, each with the number of events before it: for whoever looks for a fault.
    pub diary: Vec<(u64, String)>,
}

/// A running application.
pub struct Socket {
    record: Record,
    client: Client,
    surroundings: Arc<Surroundings>,
    settled: Arc<AtomicUsize>,
    is_settled: bool,
    random: fastrand::Rng,
    cursors: BTreeMap<StreamName, String>,
    /// Streams whose subscription is not acknowledged in this session.
    wanted: Vec<StreamName>,
    /// Acknowledgements that are awaited, and of which streams.
    asked: BTreeMap<u64, Vec<StreamName>>,
    again_at: Option<Instant>,
    id: Option<String>,
    has_left: bool,
    events: u64,
}

impl Socket {
    /// An application that has received nothing. `settled` counts those that are connected and follow all they want.
    pub fn new(plan: Plan, surroundings: Arc<Surroundings>, settled: Arc<AtomicUsize>) -> Self {
        let options = Options {
            local: Some(plan.local),
            transports: plan.transports,
            keep_alive: plan.keep_alive,
            receive_bytes: matches!(plan.habit, Habit::Slow | Habit::Stalled).then_some(RECEIVE_BYTES),
            reconnection_delay: RECONNECTION_DELAY[0],
            reconnection_delay_max: RECONNECTION_DELAY[1],
            timeout: TIMEOUT,
            seed: plan.seed,
            ..Options::new(surroundings.edges[plan.front])
        };
        let begin = match plan.begin {
            "start" => Begin::Start,
            _ => Begin::Anywhere,
        };
        let session = |stream: &StreamName| {
            let session = Session {
                begin,
                items: Vec::new(),
            };
            (stream.clone(), vec![session])
        };
        Self {
            client: Client::new(options),
            random: fastrand::Rng::with_seed(plan.seed),
            cursors: BTreeMap::new(),
            wanted: plan.streams.clone(),
            asked: BTreeMap::new(),
            again_at: None,
            id: None,
            has_left: false,
            events: 0,
            surroundings,
            settled,
            is_settled: false,
            record: Record {
                items: plan.streams.iter().map(session).collect(),
                plan,
                recovered: 0,
                fresh: 0,
                fresh_after_leaving: 0,
                sent_away: 0,
                renamed: 0,
                refused: 0,
                outages: Outages::default(),
                endings: BTreeMap::new(),
                broken: Vec::new(),
                diary: Vec::new(),
            },
        }
    }

    /// Receives until it has everything, or is told to give up.
    pub async fn run(mut self) -> Record {
        let give_up = self.surroundings.give_up.clone();
        let _ = give_up.run_until_cancelled(self.receive_all()).await;
        self.record
    }

    async fn receive_all(&mut self) {
        let mut last = self.surroundings.last.clone();
        while !self.has_everything() {
            self.keep_habit().await;
            let again_at = self.again_at.unwrap_or_else(Instant::now);
            tokio::select! {
                event = self.client.next() => match event {
                    Some(event) => self.take(event),
                    None => self.client.connect(),
                },
                () = sleep_until(again_at), if self.again_at.is_some() => self.subscribe(),
                changed = last.changed() => changed.unwrap(),
            }
            self.tell_whether_settled();
        }
    }

    fn tell_whether_settled(&mut self) {
        let is_settled = self.client.id().is_some() && self.wanted.is_empty();
        match (self.is_settled, is_settled) {
            (false, true) => self.settled.fetch_add(1, Ordering::Relaxed),
            (true, false) => self.settled.fetch_sub(1, Ordering::Relaxed),
            _ => 0,
        };
        self.is_settled = is_settled;
    }

    /// Notes what happened, unless it has happened all too often.
    fn note(&mut self, what: String) {
        if self.record.diary.len() < DIARY_MAX {
            self.record.diary.push((self.events, what));
        }
    }

    fn take(&mut self, event: Event) {
        if !matches!(event, Event::Received(_)) {
            self.note(format!("{event:?}, offset {:?}", self.client.offset()));
        }
        match event {
            Event::Connected { id, recovered } => self.connected(id, recovered),
            Event::Disconnected { reason } => self.disconnected(reason),
            Event::ConnectError { error } => self.count(format!("not opened: {error}")),
            Event::Refused { message, .. } => {
                self.record.sent_away += 1;
                self.count(format!("refused: {message}"));
            }
            Event::Acknowledged { id, arguments } => self.acknowledged(id, &arguments),
            Event::Received(event) => self.received(&event),
        }
    }

    fn count(&mut self, ending: String) {
        *self.record.endings.entry(ending).or_default() += 1;
    }

    fn connected(&mut self, id: String, recovered: bool) {
        let before = self.id.replace(id);
        let has_left = std::mem::take(&mut self.has_left);
        self.asked.clear();
        self.record.outages.disconnected();
        if recovered {
            self.record.recovered += 1;
            self.record.renamed += u64::from(before != self.id);
        } else {
            match (before.is_some(), has_left) {
                (false, _) => {}
                (true, false) => self.record.fresh += 1,
                (true, true) => self.record.fresh_after_leaving += 1,
            }
            self.wanted = self.record.plan.streams.clone();
            self.begin_anew();
        }
        self.subscribe();
    }

    /// Without cursors there is no way to go on where a lost session was.
    fn begin_anew(&mut self) {
        if matches!(self.record.plan.dialect, Dialect::Node(_)) {
            for sessions in self.record.items.values_mut() {
                sessions.push(Session {
                    begin: Begin::Anywhere,
                    items: Vec::new(),
                });
            }
        }
    }

    fn disconnected(&mut self, reason: Reason) {
        self.record.outages.disconnected();
        if reason == Reason::Server {
            self.record.sent_away += 1;
        }
        self.again_at = None;
        self.count(format!("{reason:?}"));
    }

    /// Asks for what is wanted and was not asked for already.
    fn subscribe(&mut self) {
        self.again_at = None;
        let asked: Vec<&StreamName> = self.asked.values().flatten().collect();
        let open: Vec<StreamName> = self
            .wanted
            .iter()
            .filter(|stream| !asked.contains(stream))
            .cloned()
            .collect();
        let plan = self.record.plan.clone();
        for (request, streams) in plan.dialect.subscribe(&open, plan.begin, &self.cursors) {
            let id = self
                .client
                .emit_with_ack("subscribe", std::slice::from_ref(&request));
            self.note(format!("asks {id}: {request}"));
            self.asked.insert(id, streams);
        }
    }

    fn acknowledged(&mut self, id: u64, arguments: &Received) {
        let Some(streams) = self.asked.remove(&id) else {
            return;
        };
        let answer: Result<(Subscribed,), _> = arguments.parse();
        let Ok((answer,)) = answer else {
            let answer = String::from_utf8_lossy(&arguments.array).into_owned();
            return self.record.broken.push(answer);
        };
        if let Some(error) = answer.error {
            self.record.refused += 1;
            self.count(format!("subscribe: {error}"));
            self.again_at = Some(Instant::now() + AGAIN);
            return;
        }
        self.wanted.retain(|stream| !streams.contains(stream));
        if let ([stream], Some(cursor)) = (streams.as_slice(), answer.cursor) {
            self.begun(stream, cursor);
        }
    }

    /// One that follows a stream from now on knows where that is.
    fn begun(&mut self, stream: &StreamName, cursor: String) {
        let first = &mut self.record.items.get_mut(stream).unwrap()[0];
        if first.begin == Begin::Anywhere && first.items.is_empty() {
            let begin: Cursor = cursor.parse().unwrap();
            first.begin = Begin::After(begin.id);
            self.cursors.insert(stream.clone(), cursor);
        }
    }

    fn received(&mut self, event: &Received) {
        let told = match self.record.plan.dialect.read(event) {
            Ok(told) => told,
            Err(why) => return self.record.broken.push(why),
        };
        let Some(sessions) = self.record.items.get_mut(&told.stream) else {
            let why = format!("of a stream not asked for: {}", told.stream);
            return self.record.broken.push(why);
        };
        if let Some(outage) = told.outage {
            let told = self.record.outages.take(&told.stream, outage);
            self.record.broken.extend(told.err());
        }
        if let Some(item) = told.item {
            sessions.last_mut().unwrap().items.push(item);
            if let Item::Event { event, .. } = item {
                self.surroundings
                    .seen_ms
                    .fetch_max(event.id.ms, Ordering::Relaxed);
            }
        }
        if let Some(cursor) = told.cursor {
            self.cursors.insert(told.stream, cursor);
        }
        if self.events == 0 {
            self.surroundings.receiving.fetch_add(1, Ordering::Relaxed);
        }
        self.events += 1;
    }

    fn has_everything(&self) -> bool {
        let last = self.surroundings.last.borrow();
        let Some(last) = last.as_ref() else {
            return false;
        };
        let reached =
            |(stream, sessions): (&StreamName, &Vec<Session>)| match sessions.last()?.items.last()? {
                Item::Event { event, .. } => Some(last.get(stream) == Some(&event.id)),
                _ => None,
            };
        // Behind the last event it may still be told that an outage is over.
        self.record.items.iter().all(|items| reached(items) == Some(true)) && !self.record.outages.is_open()
    }

    async fn keep_habit(&mut self) {
        let calm = self.surroundings.calm.clone();
        if calm.is_cancelled() {
            return;
        }
        match self.record.plan.habit {
            Habit::Fast => {}
            Habit::Slow => {
                let mut polls = 0;
                while self.events * 100 > self.surroundings.published.load(Ordering::Relaxed)
                    && polls < SLOW_POLLS_MAX
                {
                    sleep(POLL).await;
                    polls += 1;
                }
            }
            Habit::Stalled if self.events >= BEFORE_STALL => {
                self.surroundings.asleep.fetch_add(1, Ordering::Relaxed);
                calm.cancelled().await;
            }
            Habit::Sleepy if self.random.u32(..EVENTS_BETWEEN) == 0 => {
                let mut faults = self.surroundings.faults.clone();
                let until = *faults.borrow() + self.random.usize(1..4);
                tokio::select! {
                    _ = faults.wait_for(|done| *done >= until) => {}
                    () = calm.cancelled() => {}
                }
            }
            Habit::Leaving if self.random.u32(..EVENTS_BETWEEN) == 0 && self.client.id().is_some() => {
                self.client.disconnect();
                self.has_left = true;
            }
            Habit::Sleepy | Habit::Stalled | Habit::Leaving => {}
        }
    }
}
