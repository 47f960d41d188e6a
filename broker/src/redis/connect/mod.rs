//! Opens connections to Redis: where to, socket settings, protocol, credentials, timeouts, and the check of what server
//! it is. Knows no command of the log.
//!
//! Nobody keeps an address: where a server is is found out each time that a connection is opened, since behind a
//! Sentinel it may be another one than the last time.

mod hello;
mod sentinel;
mod socket;
mod tls;
mod url;

use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use redis::aio::{AsyncPushSender, MultiplexedConnection};
use redis::{AsyncConnectionConfig, ErrorKind, RedisConnectionInfo, RedisError, RedisResult, Value};
use shared::limits::{CONNECT_TIMEOUT, READ_TIMEOUT};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use super::{ConnectError, RedisConfig, durability};
use crate::Durability;
pub(super) use sentinel::Sentinels;
pub(super) use socket::Socket;
use url::{Names, RedisUrl};
pub(super) use url::{Node, Place};

/// How Redis is run.
#[derive(Clone)]
pub(super) enum Deployment {
    /// One server.
    Single(Place),
    /// Whichever server is the master now, as Sentinels say. Somebody must run [`Sentinels::watch`].
    Sentinel(Arc<Sentinels>),
    /// A Redis Cluster, of which the URL names some nodes. A connection is opened to one of them, by
    /// [`Connector::at`].
    Cluster {
        /// The nodes that the URL names.
        seeds: Arc<[Node]>,
    },
}

/// Knows how to reach Redis. Cheap to clone.
#[derive(Clone)]
pub(super) struct Connector {
    deployment: Deployment,
    settings: Arc<RedisConnectionInfo>,
    tls: Option<TlsConnector>,
}

/// What a connection is opened for.
pub(super) struct Purpose {
    /// How long a command waits for its answer.
    pub(super) response_timeout: Duration,
    /// Takes what the server sends unasked, and the notice that the connection is lost. It must not block.
    pub(super) pushes: Option<Arc<dyn AsyncPushSender>>,
}

impl Default for Purpose {
    /// Single commands that are answered at once.
    fn default() -> Self {
        Self {
            response_timeout: READ_TIMEOUT,
            pushes: None,
        }
    }
}

/// An open connection. It ends with this, whatever is still under way; clones of what it holds do not count.
pub(super) struct Connection {
    connection: MultiplexedConnection,
    _driver: AbortOnDropHandle<()>,
}

impl Connection {
    /// Introduces itself over a socket.
    async fn start(
        socket: Socket,
        settings: &RedisConnectionInfo,
        config: AsyncConnectionConfig,
    ) -> RedisResult<Self> {
        let (connection, driver) = MultiplexedConnection::new_with_config(settings, socket, config).await?;
        Ok(Self {
            connection,
            _driver: AbortOnDropHandle::new(tokio::spawn(driver)),
        })
    }
}

impl Deref for Connection {
    type Target = MultiplexedConnection;

    fn deref(&self) -> &MultiplexedConnection {
        &self.connection
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut MultiplexedConnection {
        &mut self.connection
    }
}

impl Connector {
    /// Takes the URL and the certificates. Connects to nothing yet.
    pub(super) fn new(config: &RedisConfig) -> Result<Self, ConnectError> {
        let url = RedisUrl::parse(&config.url)
            .map_err(|why| ConnectError(format!("the Redis URL cannot be used: {why}")))?;
        let tls = match (url.tls, config.tls.is_empty()) {
            (true, _) => Some(
                tls::connector(&config.tls)
                    .map_err(|why| ConnectError(format!("TLS cannot be used: {why}")))?,
            ),
            (false, true) => None,
            (false, false) => {
                let why =
                    "there are files for TLS, but the URL asks for none; its scheme must begin with rediss";
                return Err(ConnectError(why.into()));
            }
        };
        let deployment = match url.names {
            Names::Server(place) => Deployment::Single(place),
            Names::Sentinels {
                nodes,
                master,
                settings,
            } => {
                let sentinels = Sentinels::new(nodes, master, url::introduced(settings), tls.clone());
                Deployment::Sentinel(Arc::new(sentinels))
            }
            Names::Cluster(seeds) => Deployment::Cluster { seeds: seeds.into() },
        };
        Ok(Self {
            deployment,
            settings: Arc::new(url::introduced(url.settings)),
            tls,
        })
    }

    /// How Redis is run.
    pub(super) fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// The same credentials and certificates for one server on the network.
    pub(super) fn at(&self, host: &str, port: u16) -> Self {
        let node = Node {
            host: host.to_owned(),
            port,
        };
        Self {
            deployment: Deployment::Single(Place::Tcp(node)),
            ..self.clone()
        }
    }

    /// How to introduce oneself.
    pub(super) fn settings(&self) -> &RedisConnectionInfo {
        &self.settings
    }

    /// Finds out where the server is and opens a socket to it. The caller sees to it that this does not take too long,
    /// and hands the answer to `HELLO` to [`Connector::check_role`].
    pub(super) async fn socket(&self) -> io::Result<Socket> {
        match &self.deployment {
            Deployment::Single(place) => Socket::open(place, self.tls.as_ref()).await,
            Deployment::Sentinel(sentinels) => {
                let (master, cut) = sentinels.locate().await?;
                let socket = Socket::open(&Place::Tcp(master), self.tls.as_ref()).await?;
                Ok(socket.until(cut))
            }
            Deployment::Cluster { .. } => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "a connection to a cluster is one to a node of it",
            )),
        }
    }

    /// A server that Sentinels name must be a master by its own word too: they may be late. `hello` is its answer to
    /// `HELLO`.
    pub(super) fn check_role(&self, hello: &Value) -> io::Result<()> {
        match &self.deployment {
            Deployment::Sentinel(_) if !hello::is_master(hello) => Err(io::Error::new(
                io::ErrorKind::NotConnected,
                "what Sentinels name as the master says that it is none",
            )),
            _ => Ok(()),
        }
    }

    /// Opens a connection. Takes [`CONNECT_TIMEOUT`] at the most, whatever the server does.
    pub(super) async fn open(&self, purpose: &Purpose) -> RedisResult<Connection> {
        let mut config = command_config(purpose.response_timeout);
        if let Some(pushes) = &purpose.pushes {
            config = config.set_push_sender(Arc::clone(pushes));
        }
        let opening = async {
            let mut connection = Connection::start(self.socket().await?, &self.settings, config).await?;
            if matches!(self.deployment, Deployment::Sentinel(_)) {
                let hello = redis::cmd("HELLO").query_async(&mut *connection).await?;
                self.check_role(&hello)?;
            }
            Ok(connection)
        };
        match timeout(CONNECT_TIMEOUT, opening).await {
            Ok(opened) => opened,
            Err(elapsed) => Err(io::Error::from(elapsed).into()),
        }
    }

    /// Opens a connection and checks that the server is one that Weir works with; of a cluster, the first node of those
    /// in the URL that answers.
    pub(super) async fn check_server(&self) -> Result<(), ConnectError> {
        let Deployment::Cluster { seeds } = &self.deployment else {
            return hello::check(&self.hello().await?, &self.deployment, self.tls.is_some());
        };
        let mut refused = None;
        for seed in seeds.iter() {
            match self.at(&seed.host, seed.port).hello().await {
                Ok(hello) => return hello::check(&hello, &self.deployment, self.tls.is_some()),
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.unwrap_or_else(|| ConnectError("the URL names no node of the cluster".into())))
    }

    /// Checks that the server can do what this durability asks for, where that is more than the memory of the primary.
    pub(super) async fn check_durability(&self, durability: Durability) -> Result<(), ConnectError> {
        let Some(trial) = durability::trial(durability) else {
            return Ok(());
        };
        let servers = match &self.deployment {
            Deployment::Cluster { seeds } => {
                seeds.iter().map(|seed| self.at(&seed.host, seed.port)).collect()
            }
            _ => vec![self.clone()],
        };
        for server in servers {
            // One that cannot be asked now has been heard of by `check_server`, or is of a cluster that has others.
            let Ok(mut connection) = server.open(&Purpose::default()).await else {
                continue;
            };
            let reply = connection.send_packed_command(&trial).await;
            let reply = reply.unwrap_or_else(|error| match error.into_server_errors() {
                Some(errors) => errors
                    .first()
                    .map_or(Value::Nil, |(_, error)| Value::ServerError(error.clone())),
                None => Value::Nil,
            });
            if let Some(why) = durability::unsupported(&reply) {
                return Err(ConnectError(format!(
                    "publish.durability = \"{durability}\" cannot be kept: {why}"
                )));
            }
        }
        Ok(())
    }

    async fn hello(&self) -> Result<Value, ConnectError> {
        let mut connection = self
            .open(&Purpose::default())
            .await
            .map_err(|e| self.explain(&e))?;
        let hello = redis::cmd("HELLO").query_async(&mut *connection).await;
        hello.map_err(|e| self.explain(&e))
    }

    /// An error of the first connection, for the operator. Holds the address but never the credentials.
    fn explain(&self, error: &RedisError) -> ConnectError {
        let at = match &self.deployment {
            Deployment::Single(place) => place.to_string(),
            Deployment::Sentinel(sentinels) => sentinels.describe(),
            Deployment::Cluster { .. } => "the cluster".into(),
        };
        let of_tls = std::error::Error::source(error)
            .and_then(|source| source.downcast_ref::<Arc<dyn std::error::Error + Send + Sync>>())
            .and_then(|source| source.downcast_ref::<io::Error>())
            .and_then(tls::explain);
        let why = match error.kind() {
            ErrorKind::AuthenticationFailed => "it refuses the user or password".to_owned(),
            ErrorKind::RESP3NotSupported => hello::too_old("before 6"),
            // A server that expects commands waits for the end of one.
            _ if error.is_timeout() && self.tls.is_some() => {
                format!(
                    "no answer within {} s; does it speak TLS there?",
                    CONNECT_TIMEOUT.as_secs()
                )
            }
            _ if error.is_timeout() => format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()),
            _ => match error.code() {
                Some("NOAUTH" | "WRONGPASS") => "it refuses the user or password".to_owned(),
                Some("LOADING") => "it is loading its data; try again in a moment".to_owned(),
                _ if matches!(error.kind(), ErrorKind::Parse) => "what answers there is no Redis".to_owned(),
                _ => of_tls.unwrap_or_else(|| one_line(&error.to_string())),
            },
        };
        ConnectError(format!("cannot use Redis at {at}: {why}"))
    }
}

/// The start of a text as one line: what answered may be anything.
fn one_line(text: &str) -> String {
    const CHARACTERS_MAX: usize = 200;
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(CHARACTERS_MAX).collect()
}

/// The settings of a connection; how long it takes to open is for the caller to see to.
fn command_config(response_timeout: Duration) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_response_timeout(Some(response_timeout))
}

#[cfg(test)]
mod tests;
