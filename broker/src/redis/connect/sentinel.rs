//! Which server is the master of a group, by the word of its Sentinels; and that everything is opened anew when it is
//! another.
//!
//! Sentinels can disagree for a while: one that was cut off still names the server that was the master before. So what
//! counts is the answer with the highest configuration epoch, which Sentinels raise with each fail-over.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use redis::{RedisConnectionInfo, Value};
use shared::limits::{SENTINEL_POLL_INTERVAL, SENTINEL_TIMEOUT};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::socket::Socket;
use super::url::{Node, Place};
use super::{Connection, command_config};

/// The Sentinels of one master.
pub(in crate::redis) struct Sentinels {
    nodes: Vec<Node>,
    master: String,
    settings: RedisConnectionInfo,
    tls: Option<TlsConnector>,
    known: Mutex<Known>,
}

/// What was heard last.
struct Known {
    answer: Option<Answer>,
    /// Cuts the sockets to the master that is known.
    cut: CancellationToken,
}

/// What one Sentinel says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    epoch: u64,
    master: Node,
}

/// Why one Sentinel says nothing.
#[derive(Debug, Clone)]
struct Silence(String);

impl Sentinels {
    pub(super) fn new(
        nodes: Vec<Node>,
        master: String,
        settings: RedisConnectionInfo,
        tls: Option<TlsConnector>,
    ) -> Self {
        let known = Known {
            answer: None,
            cut: CancellationToken::new(),
        };
        Self {
            nodes,
            master,
            settings,
            tls,
            known: Mutex::new(known),
        }
    }

    /// As an operator is told of it.
    pub(super) fn describe(&self) -> String {
        let nodes: Vec<String> = self.nodes.iter().map(Node::to_string).collect();
        format!("the master {} (Sentinels {})", self.master, nodes.join(", "))
    }

    /// Where the master is now, and what is cancelled when it is somewhere else. Asks all Sentinels at once, and takes
    /// the first answer that is not older than what is known; while nothing is, the best of all. Takes
    /// [`SENTINEL_TIMEOUT`] at the most.
    pub(super) async fn locate(&self) -> io::Result<(Node, CancellationToken)> {
        let mut asked: FuturesUnordered<_> = self.nodes.iter().map(|node| self.ask_once(node)).collect();
        let (mut best, mut why) = (None::<Answer>, None);
        while let Some(answer) = asked.next().await {
            match answer {
                Ok(answer) if self.known_epoch().is_some_and(|known| answer.epoch >= known) => {
                    best = Some(answer);
                    break;
                }
                Ok(answer) if best.as_ref().is_none_or(|best| best.epoch < answer.epoch) => {
                    best = Some(answer)
                }
                Ok(_) => {}
                Err(silence) => why = Some(silence),
            }
        }
        match best {
            Some(answer) => Ok(self.settle(answer)),
            None => {
                let why = why.map_or_else(String::new, |why: Silence| why.0);
                Err(io::Error::new(
                    io::ErrorKind::NotConnected,
                    format!("no Sentinel names the master: {why}"),
                ))
            }
        }
    }

    /// Asks all Sentinels again and again, so that a fail-over is noticed even if the old master still answers.
    pub(in crate::redis) async fn watch(&self, stop: CancellationToken) {
        let mut connections: Vec<Option<Connection>> = self.nodes.iter().map(|_| None).collect();
        let mut tick = interval(SENTINEL_POLL_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut silent = false;
        while stop.run_until_cancelled(tick.tick()).await.is_some() {
            let asked: FuturesUnordered<_> = self
                .nodes
                .iter()
                .zip(&mut connections)
                .map(|(node, connection)| self.ask(node, connection))
                .collect();
            let Some(answers) = stop.run_until_cancelled(asked.collect::<Vec<_>>()).await else {
                return;
            };
            match answers.into_iter().flatten().max_by_key(|answer| answer.epoch) {
                Some(answer) => {
                    silent = false;
                    // Of all that could be heard for once this may be one that is behind. If it is the others that are
                    // gone for good, connections to what is known fail, and it is taken when they are opened again.
                    if self.known_epoch().is_none_or(|known| answer.epoch >= known) {
                        self.settle(answer);
                    }
                }
                None if !std::mem::replace(&mut silent, true) => {
                    warn!(
                        master = self.master,
                        "no Sentinel answers; a fail-over would not be noticed"
                    )
                }
                None => {}
            }
        }
    }

    /// Takes an answer for true. If it names another master than before, whatever is connected to that one is cut.
    fn settle(&self, answer: Answer) -> (Node, CancellationToken) {
        let mut known = self.known();
        match &known.answer {
            Some(before) if before.master != answer.master => {
                info!(
                    master = self.master,
                    from = %before.master,
                    to = %answer.master,
                    epoch = answer.epoch,
                    "another server is the master now; everything is connected anew"
                );
                std::mem::replace(&mut known.cut, CancellationToken::new()).cancel();
            }
            _ => {}
        }
        let master = answer.master.clone();
        known.answer = Some(answer);
        (master, known.cut.clone())
    }

    fn known_epoch(&self) -> Option<u64> {
        self.known().answer.as_ref().map(|answer| answer.epoch)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask_once(&self, node: &Node) -> Result<Answer, Silence> {
        self.ask(node, &mut None).await
    }

    /// Asks one Sentinel over a connection, which is opened if there is none, and given up if it is of no use.
    async fn ask(&self, node: &Node, connection: &mut Option<Connection>) -> Result<Answer, Silence> {
        let asking = async {
            let mut open = match connection.take() {
                Some(open) => open,
                None => {
                    let socket = Socket::open(&Place::Tcp(node.clone()), self.tls.as_ref()).await?;
                    Connection::start(socket, &self.settings, command_config(SENTINEL_TIMEOUT)).await?
                }
            };
            let mut questions = redis::pipe();
            // The epoch first: an address that is newer than its epoch does no harm, the other way round it would.
            questions.cmd("SENTINEL").arg("MASTER").arg(&self.master);
            questions
                .cmd("SENTINEL")
                .arg("GET-MASTER-ADDR-BY-NAME")
                .arg(&self.master);
            let replies = open.send_packed_commands(&questions, 0, 2).await?;
            *connection = Some(open);
            Ok::<_, redis::RedisError>(replies)
        };
        let replies = match timeout(SENTINEL_TIMEOUT, asking).await {
            Ok(Ok(replies)) => replies,
            Ok(Err(error)) => return Err(self.silence(node, &super::one_line(&error.to_string()))),
            Err(_) => return Err(self.silence(node, "no answer in time")),
        };
        read(&replies).map_err(|why| self.silence(node, &why))
    }

    fn silence(&self, node: &Node, why: &str) -> Silence {
        debug!(sentinel = %node, why, "a Sentinel names no master");
        Silence(format!("{node}: {why}"))
    }
}

fn read(replies: &[Value]) -> Result<Answer, String> {
    let [state, address] = replies else {
        return Err("it answers with something unexpected".into());
    };
    for reply in replies {
        if let Value::ServerError(error) = reply {
            let details = error.details().unwrap_or_default();
            return Err(match error.code() {
                "ERR" if details.contains("No such master") => "it knows no master of this name".into(),
                code => super::one_line(&format!("{code} {details}")),
            });
        }
    }
    let epoch = super::hello::field(state, "config-epoch").and_then(|epoch| epoch.parse().ok());
    let epoch = epoch.ok_or("it tells no epoch")?;
    match address {
        Value::Nil => Err("it knows no master of this name".into()),
        Value::Array(parts) => match parts
            .iter()
            .map(super::hello::text)
            .collect::<Option<Vec<_>>>()
            .as_deref()
        {
            Some([host, port]) => Ok(Answer {
                epoch,
                master: Node {
                    host: host.clone(),
                    port: port.parse().map_err(|_| "it names a port that cannot be one")?,
                },
            }),
            _ => Err("it answers with something unexpected".into()),
        },
        _ => Err("it answers with something unexpected".into()),
    }
}
