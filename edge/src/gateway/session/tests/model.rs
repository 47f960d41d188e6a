//! A client, edges that die, and a log: whatever happens, the client gets each event of what it follows once and in
//! order for as long as its session lasts, and a session that another edge goes on with is the same session.
//!
//! Calls to the log take any time and may fail; one that fails may have been carried out all the same. What an edge
//! has said may be lost from any point on when it dies.

use std::collections::{HashMap, VecDeque};

use broker::{Taken, Touched};
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

const STREAMS: [&str; 3] = ["a", "b", "c"];

#[derive(Debug, Clone)]
enum Step {
    /// An event is published, by the client itself without echo or by somebody else.
    Publish(usize, bool),
    Subscribe(Vec<usize>, Option<u64>),
    Unsubscribe(usize),
    /// A call is answered, with an error or not.
    Answer(Index, Fate),
    Deliver(usize),
    Receive(usize),
    /// The edge dies: so much of what it said arrives, and calls that are under way are carried out or not.
    Die(usize, bool),
    /// Time passes.
    Wait(u64),
    /// The log loses its records, or lets them expire; perhaps the edge dies before it notices.
    Forget(bool),
}

#[derive(Debug, Clone, Copy)]
enum Fate {
    Done,
    FailedAfterAll,
    Failed,
}

fn step() -> impl Strategy<Value = Step> {
    let fate = prop_oneof![8 => Just(Fate::Done), 1 => Just(Fate::FailedAfterAll), 1 => Just(Fate::Failed)];
    let streams = prop::sample::subsequence(vec![0, 1, 2], 1..3);
    prop_oneof![
        6 => (0..3usize, prop::bool::weighted(0.2)).prop_map(|(stream, own)| Step::Publish(stream, own)),
        3 => (streams, prop::option::of(0..4u64)).prop_map(|(streams, from)| Step::Subscribe(streams, from)),
        1 => (0..3usize).prop_map(Step::Unsubscribe),
        12 => (any::<Index>(), fate).prop_map(|(which, fate)| Step::Answer(which, fate)),
        6 => (1..5usize).prop_map(Step::Deliver),
        6 => (1..5usize).prop_map(Step::Receive),
        2 => (0..6usize, any::<bool>()).prop_map(|(arrives, done)| Step::Die(arrives, done)),
        1 => (1..100u64).prop_map(Step::Wait),
        1 => any::<bool>().prop_map(Step::Forget),
    ]
}

/// What is stored: for each stream, who published each entry; and the records of sessions.
#[derive(Default)]
struct World {
    entries: HashMap<usize, Vec<Option<String>>>,
    records: HashMap<SessionId, (u64, Bytes)>,
}

impl World {
    fn head(&self, stream: usize) -> u64 {
        self.entries.get(&stream).map_or(0, Vec::len) as u64
    }

    fn take_over(&mut self, pid: &SessionId) -> Option<Taken> {
        let (generation, record) = self.records.get_mut(pid)?;
        *generation += 1;
        Some(Taken {
            generation: generation_of(*generation),
            record: record.clone(),
        })
    }

    fn save(&mut self, pid: SessionId, generation: Generation, record: Bytes) -> Saved {
        let number = number_of(generation);
        let (known, stored) = self.records.entry(pid).or_insert((number, Bytes::new()));
        if *known != number {
            return Saved::TakenOver;
        }
        *stored = record;
        Saved::Saved
    }

    /// The next entry after `n` that the client of session `sid` gets.
    fn next(&self, stream: usize, n: u64, sid: &str) -> Option<u64> {
        let entries = self.entries.get(&stream)?;
        (n + 1..=self.head(stream)).find(|n| entries[*n as usize - 1].as_deref() != Some(sid))
    }
}

/// What an edge says.
#[derive(Debug)]
enum Packet {
    Connect(String, Option<SessionId>),
    Event(Value),
    Ack(Value),
    Closed,
}

/// One edge, as long as it lives and serves the client.
struct Edge {
    bench: Bench,
    calls: Vec<Order>,
    /// Up to where each stream was delivered.
    positions: HashMap<usize, u64>,
    wire: VecDeque<Packet>,
    closed: bool,
}

impl Edge {
    fn accepted(auth: &Value, life: u64) -> Self {
        let mut bench = Bench::enter_as("/", auth, ids(&format!("life{life}-")));
        let orders = bench.taken();
        let mut edge = Self {
            bench,
            calls: Vec::new(),
            positions: HashMap::new(),
            wire: VecDeque::new(),
            closed: false,
        };
        edge.carry_out(orders);
        edge
    }

    fn carry_out(&mut self, orders: Vec<Order>) {
        for order in orders {
            match order {
                Order::Accept(_) => {
                    let session = &self.bench.session;
                    let packet = Packet::Connect(session.sid().to_owned(), session.pid().cloned());
                    self.wire.push_back(packet);
                }
                Order::Ack(_, array) => {
                    let array: Value = serde_json::from_slice(&array).unwrap();
                    self.wire.push_back(Packet::Ack(array[0].clone()));
                }
                Order::Leave(stream) => {
                    self.positions.remove(&number(stream.as_str()));
                }
                Order::Close => {
                    self.wire.push_back(Packet::Closed);
                    self.closed = true;
                }
                call => self.calls.push(call),
            }
        }
        let joins = self.calls.iter().filter(|call| matches!(call, Order::Join(_)));
        let saves = self.calls.iter().filter(|call| matches!(call, Order::Save(..)));
        assert!(joins.count() <= 1 && saves.count() <= 1);
    }

    /// A call comes to its end. An edge that is dead only leaves traces in the world.
    fn answer(&mut self, call: Order, fate: Fate, alive: bool, world: &mut World) {
        let done = matches!(fate, Fate::Done | Fate::FailedAfterAll);
        let known = |reached: bool| match (reached, fate) {
            (true, Fate::Done) => Ok(()),
            _ => Err(SessionError::Unavailable(away())),
        };
        let now = self.bench.at(0);
        let Bench { session, orders, .. } = &mut self.bench;
        match call {
            Order::TakeOver(pid) => {
                let taken = if done { world.take_over(&pid) } else { None };
                if alive {
                    session.taken(known(done).map(|()| taken), now, orders);
                }
            }
            Order::Create(pid, record) => {
                if done {
                    assert!(world.records.insert(pid, (1, record)).is_none());
                }
                if alive {
                    session.created(known(done).map(|()| generation_of(1)), now, orders);
                }
            }
            Order::Save(pid, generation, record) => {
                let saved = if done {
                    world.save(pid, generation, record)
                } else {
                    Saved::Saved
                };
                if alive {
                    session.saved(known(done).map(|()| saved), now, orders);
                }
            }
            Order::Touch(pid) if alive => {
                let touched = match world.records.contains_key(&pid) {
                    true => Touched::Known,
                    false => Touched::Gone,
                };
                session.touched(known(done).map(|()| touched), now);
            }
            Order::Join(wanted) if alive => {
                let joined = known(done).map(|()| join_at(&mut self.positions, &wanted, world));
                session.joined(joined.map_err(|_| ReadError::Unavailable(away())), now, orders);
            }
            _ => {}
        }
        let orders = self.bench.taken();
        if alive {
            self.carry_out(orders);
        }
    }

    /// Delivers the next entry of some stream, if there is one.
    fn deliver(&mut self, world: &World) -> bool {
        if !self.bench.session.wants_deliveries() {
            return false;
        }
        let due = self
            .positions
            .iter()
            .find(|(stream, at)| world.head(**stream) > **at);
        let Some((&stream, &at)) = due else {
            return false;
        };
        let from = world.entries[&stream][at as usize].clone();
        let arrays = self
            .bench
            .deliver(&[entry(STREAMS[stream], at + 1, from.as_deref())]);
        self.wire.extend(arrays.into_iter().map(Packet::Event));
        self.positions.insert(stream, at + 1);
        true
    }
}

fn join_at(positions: &mut HashMap<usize, u64>, wanted: &Wanted, world: &World) -> Joined {
    let stream = number(wanted.stream.as_str());
    let at = match wanted.from {
        From::Cursor(cursor) => cursor.id.ms,
        From::Now => world.head(stream),
        other => panic!("{other:?}"),
    };
    positions.insert(stream, at);
    Joined {
        cursor: cursor(at),
        head: cursor(world.head(stream)),
        verdict: Verdict::Continuous,
    }
}

fn number(stream: &str) -> usize {
    STREAMS.iter().position(|name| *name == stream).unwrap()
}

fn generation_of(number: u64) -> Generation {
    broker::testing::generation(number)
}

fn number_of(generation: Generation) -> u64 {
    (0..1_000)
        .find(|number| generation_of(*number) == generation)
        .unwrap()
}

/// What the client has asked for last and was not answered.
#[derive(Debug, Clone)]
enum Asked {
    Subscribe(Vec<usize>),
    Unsubscribe(usize),
}

/// The client, which does what the official library does.
#[derive(Default)]
struct Client {
    sid: String,
    pid: Option<SessionId>,
    offset: Option<String>,
    /// For each stream that it follows, the last entry that it has seen; `None` where an answer was lost, so that it
    /// does not know. What it followed before it asked goes on whatever becomes of the answer.
    seen: HashMap<usize, Option<u64>>,
    asked: Option<Asked>,
    recovered: usize,
}

impl Client {
    fn auth(&self) -> Value {
        match &self.pid {
            Some(pid) => json!({"pid": pid.as_str(), "offset": self.offset}),
            None => json!({}),
        }
    }

    /// The connection is gone: an answer that had not come never will.
    fn cut_off(&mut self) {
        match self.asked.take() {
            Some(Asked::Subscribe(streams)) => {
                for stream in streams {
                    self.seen.entry(stream).or_insert(None);
                }
            }
            Some(Asked::Unsubscribe(stream)) => {
                self.seen.insert(stream, None);
            }
            None => {}
        }
    }

    fn receive(&mut self, packet: Packet, world: &World) {
        match packet {
            Packet::Connect(sid, pid) => {
                if self.pid.is_some() && self.pid == pid {
                    assert_eq!(self.sid, sid);
                    self.recovered += 1;
                } else {
                    self.seen.clear();
                }
                (self.sid, self.pid) = (sid, pid);
            }
            Packet::Event(array) => {
                let stream = number(array[2]["stream"].as_str().unwrap());
                let n = array[1].as_u64().unwrap();
                match self.seen.get(&stream) {
                    Some(Some(seen)) => {
                        assert_eq!(
                            Some(n),
                            world.next(stream, *seen, &self.sid),
                            "{}",
                            STREAMS[stream]
                        );
                    }
                    Some(None) => {}
                    None => panic!("an event of {}, which is not followed", STREAMS[stream]),
                }
                self.seen.insert(stream, Some(n));
                self.offset = Some(array[3].as_str().unwrap().to_owned());
            }
            Packet::Ack(answer) => self.answered(&answer, world),
            Packet::Closed => self.cut_off(),
        }
    }

    fn answered(&mut self, answer: &Value, world: &World) {
        match self.asked.take().expect("an answer to what was asked") {
            Asked::Subscribe(streams) => {
                for stream in streams {
                    let answer = &answer["streams"][STREAMS[stream]];
                    let seen = answer["cursor"].as_str().map(|text| {
                        let cursor: Cursor = text.parse().unwrap();
                        cursor.id.ms
                    });
                    assert_eq!(answer["ok"], seen.is_some());
                    if answer["already"] == true {
                        let before = self.seen[&stream];
                        let next = |seen: Option<u64>| world.next(stream, seen.unwrap(), &self.sid);
                        assert!(before.is_none() || next(before) == next(seen), "moved");
                    } else {
                        assert!(!matches!(self.seen.get(&stream), Some(Some(_))), "begun anew");
                    }
                    self.seen.insert(stream, seen);
                }
            }
            // Otherwise it never was.
            Asked::Unsubscribe(stream) if answer["ok"] == true => {
                self.seen.remove(&stream);
            }
            Asked::Unsubscribe(_) => {}
        }
    }
}

struct Play {
    world: World,
    edge: Edge,
    client: Client,
    lives: u64,
    seconds: u64,
}

impl Play {
    fn new() -> Self {
        Self {
            world: World::default(),
            edge: Edge::accepted(&json!({}), 0),
            client: Client::default(),
            lives: 0,
            seconds: 0,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Publish(stream, own) => {
                let from = (own && !self.client.sid.is_empty()).then(|| self.client.sid.clone());
                self.world.entries.entry(stream).or_default().push(from);
            }
            Step::Subscribe(streams, back) => {
                let names: HashMap<&str, String> = streams
                    .iter()
                    .map(|stream| {
                        let from = back.map(|back| self.world.head(*stream).saturating_sub(back));
                        (
                            STREAMS[*stream],
                            from.map_or("now".into(), |at| cursor(at).to_string()),
                        )
                    })
                    .collect();
                self.ask(
                    json!(["subscribe", {"streams": names}]),
                    Asked::Subscribe(streams),
                );
            }
            Step::Unsubscribe(stream) => {
                let array = json!(["unsubscribe", {"stream": STREAMS[stream]}]);
                self.ask(array, Asked::Unsubscribe(stream));
            }
            Step::Answer(which, fate) => {
                if !self.edge.calls.is_empty() {
                    let call = self.edge.calls.remove(which.index(self.edge.calls.len()));
                    self.edge.answer(call, fate, true, &mut self.world);
                }
            }
            Step::Deliver(count) => {
                (0..count).take_while(|_| self.edge.deliver(&self.world)).count();
            }
            Step::Receive(count) => self.receive(count),
            Step::Die(arrives, done) => {
                self.receive(arrives);
                self.die(done);
            }
            Step::Wait(seconds) => {
                self.seconds += seconds;
                let now = self.edge.bench.at(self.seconds);
                self.edge.bench.session.tick(now, &mut self.edge.bench.orders);
                let orders = self.edge.bench.taken();
                self.edge.carry_out(orders);
            }
            Step::Forget(dies) => {
                self.world.records.clear();
                if dies {
                    self.die(true);
                }
            }
        }
    }

    fn ask(&mut self, array: Value, asked: Asked) {
        // A client that is in and has its answers.
        let ready = !self.edge.closed && self.client.asked.is_none() && self.edge.bench.session.wants_event();
        let greeted = !self
            .edge
            .wire
            .iter()
            .any(|packet| matches!(packet, Packet::Connect(..)));
        if ready && greeted {
            self.client.asked = Some(asked);
            self.edge.bench.emit(&array);
            let orders = self.edge.bench.taken();
            self.edge.carry_out(orders);
        }
    }

    fn receive(&mut self, count: usize) {
        for _ in 0..count {
            let Some(packet) = self.edge.wire.pop_front() else {
                return;
            };
            let closed = matches!(packet, Packet::Closed);
            self.client.receive(packet, &self.world);
            if closed {
                return self.die(true);
            }
        }
    }

    /// The edge is gone, and the client comes to another one.
    fn die(&mut self, done: bool) {
        let fate = if done { Fate::Done } else { Fate::Failed };
        for call in std::mem::take(&mut self.edge.calls) {
            self.edge.answer(call, fate, false, &mut self.world);
        }
        self.client.cut_off();
        self.lives += 1;
        self.edge = Edge::accepted(&self.client.auth(), self.lives);
    }

    /// From now on everything works. In the end the client has everything.
    fn come_to_rest(&mut self) {
        for _ in 0..10_000 {
            if let Some(call) = self.edge.calls.pop() {
                self.edge.answer(call, Fate::Done, true, &mut self.world);
            } else if !self.edge.wire.is_empty() {
                self.receive(1);
            } else if !self.edge.deliver(&self.world) {
                break;
            }
        }
        assert!(
            self.client.asked.is_none(),
            "{:?} was never answered",
            self.client.asked
        );
        for (stream, seen) in &self.client.seen {
            if let Some(seen) = seen {
                let missing = self.world.next(*stream, *seen, &self.client.sid);
                assert_eq!(missing, None, "of {}", STREAMS[*stream]);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_client_gets_each_event_once_and_in_order(steps in prop::collection::vec(step(), 0..150)) {
        let mut play = Play::new();
        for step in steps {
            play.step(step);
        }
        play.come_to_rest();
    }
}

/// So that the property above is not empty.
#[test]
fn sessions_are_recovered_in_the_model() {
    let mut play = Play::new();
    play.come_to_rest();
    for round in 0..5 {
        play.step(Step::Subscribe(vec![0, round % 2 + 1], Some(1)));
        play.come_to_rest();
        play.step(Step::Publish(0, false));
        play.step(Step::Deliver(3));
        play.step(Step::Die(round % 2, true));
        play.come_to_rest();
        assert_eq!(play.client.recovered, round + 1);
        assert_eq!(play.client.seen[&0], Some(round as u64 + 1));
    }
}
