//! What a run is made of: which streams, who publishes to them, who subscribes, what goes wrong.

use std::time::Duration;

use shared::StreamName;

use crate::chaos::Fault;
use crate::checker::Removal;
use crate::cluster::{Front, Program, Setup};
use crate::producers::{RawForm, Source};
use crate::subscribers::{Pace, Plan};
use crate::tails::Transport;

/// Edges of a cluster.
const EDGES: usize = 2;

/// A cluster of edges that are each reached by itself.
pub fn setup(redis_arguments: &'static [&'static str], sentinels: usize, seed: u64) -> Setup {
    Setup {
        program: Program::Weir(CONFIGURATION.to_owned()),
        edges: EDGES,
        front: Front::EachItsOwn,
        redis_arguments,
        sentinels,
        seed,
    }
}

/// The edges keep everything: what is removed, the test removes itself. Signs of life come often, so that a client
/// can soon tell an edge that was stopped from one with nothing to say.
const CONFIGURATION: &str = r#"
[retention]
entries = "none"
age = "none"
idle = "none"
[tail]
heartbeat = "1s"
[ws]
ping_interval = "1s"
"#;

/// Longer than the pause between two signs of life, shorter than an edge may be stopped.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a run is made of.
#[derive(Debug)]
pub struct Scenario {
    /// Decides everything that is drawn.
    pub seed: u64,
    /// The faults, in order.
    pub faults: Vec<Fault>,
    /// Events that each producer may publish in each step.
    pub quota: u32,
    /// Whether Redis may lose writes that it has acknowledged.
    pub loses_power: bool,
    /// Sentinels over Redis and its replica; none: it is one server.
    pub sentinels: usize,
}

/// A stream.
#[derive(Debug)]
pub struct StreamPlan {
    /// What it is called.
    pub name: StreamName,
    /// Who publishes to it.
    pub sources: &'static [Source],
    /// Where entries are removed from it.
    pub removal: Removal,
}

impl StreamPlan {
    /// Each of its producers.
    pub fn sources(&self) -> impl Iterator<Item = (StreamName, Source)> {
        self.sources.iter().map(|source| (self.name.clone(), *source))
    }
}

fn stream(name: &str, sources: &'static [Source]) -> StreamPlan {
    StreamPlan {
        name: name.parse().unwrap(),
        sources,
        removal: if name == "holes" {
            Removal::Anywhere
        } else {
            Removal::Front
        },
    }
}

impl Scenario {
    /// The streams.
    pub fn streams(&self) -> Vec<StreamPlan> {
        use Source::{Http, Raw};
        if self.sentinels > 0 {
            // Who adds entries without Weir would have to find the primary by himself.
            return vec![stream("plain", &[Http, Http]), stream("mixed/a:b", &[Http])];
        }
        let mut streams = vec![
            stream("plain", &[Http, Http]),
            stream("mixed/a:b", &[Http, Raw(RawForm::Foreign)]),
            stream("raw", &[Raw(RawForm::Ours)]),
        ];
        if !self.loses_power {
            streams.extend([
                stream("trimmed", &[Http, Raw(RawForm::Ours)]),
                stream("holes", &[Http]),
                stream("recreated", &[Http]),
                stream("set-back", &[Http]),
            ]);
        }
        streams
    }

    /// Subscribers that are there from the beginning.
    pub fn first_subscribers(&self, streams: &[StreamPlan]) -> Vec<Plan> {
        let names: Vec<StreamName> = streams.iter().map(|stream| stream.name.clone()).collect();
        let mut plans = Vec::new();
        let mut add = |transports: &[Transport], streams: &[StreamName], pace| {
            plans.push(self.subscriber(transports, streams, "start", pace, plans.len()));
        };
        for name in &names {
            add(&Transport::ALL, std::slice::from_ref(name), Pace::Sleepy);
            for transport in Transport::ALL {
                add(&[transport], std::slice::from_ref(name), Pace::Fast);
            }
        }
        for transport in Transport::ALL {
            add(&[transport], &names, Pace::Fast);
            add(&[transport], &names[names.len() / 2..], Pace::Sleepy);
            add(&[transport], &names[..2], Pace::Slow);
            add(
                &[transport],
                std::slice::from_ref(&names[names.len() / 2]),
                Pace::Slow,
            );
        }
        plans
    }

    /// Subscribers that come when half of it is over, and want what comes from then on.
    pub fn late_subscribers(&self, streams: &[StreamPlan]) -> Vec<Plan> {
        let late = |(number, stream): (usize, &StreamPlan)| {
            let transport = [Transport::ALL[number % Transport::ALL.len()]];
            let streams = std::slice::from_ref(&stream.name);
            self.subscriber(&transport, streams, "now", Pace::Fast, 1_000 + number)
        };
        streams.iter().enumerate().map(late).collect()
    }

    fn subscriber(
        &self,
        transports: &[Transport],
        streams: &[StreamName],
        begin: &'static str,
        pace: Pace,
        number: usize,
    ) -> Plan {
        let names: Vec<&str> = streams.iter().map(StreamName::as_str).collect();
        let transport = match transports {
            [one] => format!("{one:?}"),
            _ => "any transport".to_owned(),
        };
        Plan {
            name: format!("{} over {transport}, {pace:?}, from {begin}", names.join("+")),
            transports: transports.to_vec(),
            streams: streams.to_vec(),
            begin,
            pace,
            first_edge: None,
            seed: self.seed ^ (number as u64) << 32,
            receive_bytes: None,
            patience: PATIENCE,
        }
    }
}
