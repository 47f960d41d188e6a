//! Single commands and scripts of many callers over one connection to each node, pipelined. Fails fast while Redis is away.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use redis::{Cmd, Value, cmd};
use shared::limits::{RECORD_CALLS_MAX, RECORD_TIMEOUT};
use shared::time;
use smallvec::SmallVec;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::super::connect::Connector;
use super::super::fault::Fault;
use super::super::keys::KeyTemplate;
use super::super::link::{Change, Link, LinkState};
use super::super::parse;
use super::super::topology::Topology;
use crate::Away;

/// Runs commands, each at the node that has its key.
pub(in super::super) struct Records {
    topology: Arc<Topology>,
}

impl Records {
    pub(in super::super) fn new(topology: Arc<Topology>) -> Self {
        Self { topology }
    }

    /// Runs a script on one key. Redis that does not know it is told it.
    pub(super) async fn script(
        &self,
        script: &Script,
        key: &str,
        arguments: &[&[u8]],
    ) -> Result<Value, Fault> {
        let known = script.command(key, arguments, false);
        match self.command(key, &known).await {
            Err(Fault::NoScript) => self.command(key, &script.command(key, arguments, true)).await,
            done => done,
        }
    }

    /// Runs a command on one key; its error reply is a fault.
    pub(super) async fn command(&self, key: &str, command: &Cmd) -> Result<Value, Fault> {
        self.topology
            .at_owner(key.as_bytes(), |node, asking| async move {
                node.calls().command(command, asking).await
            })
            .await
    }
}

/// A connection that comes back, and who may use it.
pub(in super::super) struct Calls {
    link: watch::Receiver<LinkState>,
    /// A place for each call that may be with Redis at the same time.
    room: Arc<Semaphore>,
}

/// A script that Redis knows by its hash, or learns.
pub(super) struct Script {
    text: &'static str,
    sha1: OnceLock<String>,
}

impl Script {
    pub(super) const fn new(text: &'static str) -> Self {
        let sha1 = OnceLock::new();
        Self { text, sha1 }
    }

    fn sha1(&self) -> &str {
        self.sha1
            .get_or_init(|| redis::Script::new(self.text).get_hash().to_owned())
    }

    /// A call of it on one key. `whole`: with its text, for a server that does not know it yet.
    fn command(&self, key: &str, arguments: &[&[u8]], whole: bool) -> Cmd {
        let mut command = Cmd::new();
        if whole {
            command.arg("EVAL").arg(self.text);
        } else {
            command.arg("EVALSHA").arg(self.sha1());
        }
        command.arg(1).arg(key);
        for argument in arguments {
            command.arg(*argument);
        }
        command
    }
}

impl Calls {
    /// Starts the task that keeps the connection; it ends when `stop` is cancelled.
    pub(in super::super) fn start(
        connector: &Connector,
        keys: &KeyTemplate,
        tracker: &TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let (mut link, seen) = Link::new(connector.clone(), keys, "sessions");
        let tasks = tracker.clone();
        tracker.spawn(async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    change = link.changed() => match change {
                        Change::Up => {}
                        Change::Lost => link.down("the connection to Redis was lost"),
                        // That one call was not answered in time says nothing of those that came after it.
                        Change::Useless(why) => if let Some(driver) = link.leave(why) {
                            tasks.spawn(driver.finish(RECORD_TIMEOUT));
                        },
                    },
                }
            }
        });
        Self {
            link: seen,
            room: Arc::new(Semaphore::new(RECORD_CALLS_MAX)),
        }
    }

    /// Why nothing can be called right now.
    pub(in super::super) fn away(&self) -> Option<Away> {
        match &*self.link.borrow() {
            // The link is about to say so itself.
            Ok(connected) if connected.is_given_up() => Some(Away {
                why: "Redis does not answer",
                since_ms: time::now_ms(),
            }),
            Ok(_) => None,
            Err(away) => Some(*away),
        }
    }

    fn check(&self) -> Result<(), Fault> {
        self.away().map_or(Ok(()), |away| Err(Fault::Lost(away.why)))
    }

    async fn command(&self, command: &Cmd, asking: bool) -> Result<Value, Fault> {
        self.check()?;
        let room = Arc::clone(&self.room).acquire_owned();
        let place = match timeout(RECORD_TIMEOUT, room).await {
            Ok(Ok(place)) => place,
            Ok(Err(tokio::sync::AcquireError { .. })) => return Err(Fault::Lost("the log is shutting down")),
            Err(_) => return Err(Fault::Lost("more is asked than Redis takes")),
        };
        // It may have gone while this call waited.
        self.check()?;
        let connected = self.link.borrow().clone();
        let connected = connected.map_err(|away| Fault::Lost(away.why))?;
        let started = Instant::now();
        let asking = asking.then(|| cmd("ASKING"));
        let commands: SmallVec<[&Cmd; 2]> = asking.iter().chain([command]).collect();
        let answer = match timeout(RECORD_TIMEOUT, connected.pipe.ask(&commands, Some(place))).await {
            Ok(replies) => replies.and_then(|mut replies| parse::ok(replies.pop().ok_or(Fault::Malformed)?)),
            Err(_) => Err(Fault::Lost("Redis does not answer")),
        };
        match answer {
            // When it is asked anew, it may be another server.
            Err(Fault::Lost(_) | Fault::NotNow(_)) => connected.give_up(),
            _ => {
                metrics::histogram!("weir_redis_latency_seconds", "op" => "record").record(started.elapsed())
            }
        }
        answer
    }
}

/// A time to live as Redis takes it; less than a millisecond is one.
pub(super) fn ttl_ms(ttl: Duration) -> String {
    u64::try_from(ttl.as_millis())
        .unwrap_or(u64::MAX)
        .clamp(1, TTL_MS_MAX)
        .to_string()
}

/// Redis refuses times to live that overflow its clock.
const TTL_MS_MAX: u64 = 1 << 53;
