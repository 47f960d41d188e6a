//! Settings of the Redis engine.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use shared::limits::{APPEND_OUTAGE_WAIT, DURABILITY_TIMEOUT};

use super::connect::{Connector, Deployment};
use super::keys::KeyTemplate;
use crate::{Durability, HubConfig, Limits, RetentionRules};

/// How the tail learns of new entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TailMode {
    /// Client tracking; blocking reads where the server refuses it.
    #[default]
    Auto,
    /// Blocking reads.
    Blocking,
}

/// Files with certificates, in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsFiles {
    /// Whom to trust; without it those whom this machine trusts.
    pub ca: Option<PathBuf>,
    /// The certificate that the server is shown, with those between it and its CA, if it wants one. Goes with `key`.
    pub cert: Option<PathBuf>,
    /// The private key of `cert`.
    pub key: Option<PathBuf>,
}

impl TlsFiles {
    /// Whether none is named.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Settings of the Redis engine. [`RedisConfig::new`] gives the defaults.
#[derive(Clone)]
pub struct RedisConfig {
    /// One server: `redis://[user:password@]host:port/db`, `rediss://…` with TLS, or
    /// `unix:///path?user=…&pass=…&db=…`. The master that Sentinels name:
    /// `redis-sentinel://[user:password@]host[:26379][,host[:port]…]/master[/db]`, with the Sentinels' own credentials
    /// as the parameters `sentinel_user` and `sentinel_password`, or `rediss-sentinel://…` with TLS to both. Redis
    /// Cluster: `redis-cluster://[user:password@]host[:6379][,host[:port]…]`, or `rediss-cluster://…`.
    pub url: String,
    /// Certificates, for a URL that asks for TLS.
    pub tls: TlsFiles,
    /// Key of a stream, with `NAME` standing for the name: `weir:{NAME}` makes `weir:{doc:1}`. The braces are a
    /// Redis Cluster hash tag; a template without them, such as `logs:NAME`, serves keys that others write.
    pub key_template: String,
    /// Multiplexed connections for appends.
    pub append_connections: usize,
    /// Connections for page reads.
    pub read_connections: usize,
    /// How the tail learns of new entries.
    pub tail: TailMode,
    /// How safe an event must be before it is acknowledged, if its publisher does not say.
    pub durability: Durability,
    /// How long is waited for more than the primary's memory.
    pub durability_timeout: Duration,
    /// How long Redis may be away before appends that were not sent are refused at once, instead of waiting for it.
    pub append_outage_wait: Duration,
    /// Limits on appends.
    pub limits: Limits,
    /// What is kept.
    pub retention: RetentionRules,
    /// The live side.
    pub hub: HubConfig,
}

impl RedisConfig {
    /// The defaults, for the server at `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            tls: TlsFiles::default(),
            key_template: "weir:{NAME}".into(),
            append_connections: 2,
            read_connections: 4,
            tail: TailMode::default(),
            durability: Durability::default(),
            durability_timeout: DURABILITY_TIMEOUT,
            append_outage_wait: APPEND_OUTAGE_WAIT,
            limits: Limits::default(),
            retention: RetentionRules::default(),
            hub: HubConfig::default(),
        }
    }

    /// Checks what can be checked without a server: the URL, the certificates and the template.
    pub fn check(&self) -> Result<(), ConnectError> {
        KeyTemplate::parse(&self.key_template).map_err(|e| ConnectError(e.to_string()))?;
        self.connector().map(|_| ())
    }

    /// What opens the connections. The tail must suit how Redis is run.
    pub(super) fn connector(&self) -> Result<Connector, ConnectError> {
        let connector = Connector::new(self)?;
        match (connector.deployment(), self.tail) {
            (Deployment::Cluster { .. }, TailMode::Blocking) => Err(ConnectError(
                "blocking reads cannot follow a Redis Cluster; set redis.tail to \"auto\"".into(),
            )),
            _ => Ok(connector),
        }
    }
}

impl fmt::Debug for RedisConfig {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("tls", &self.tls)
            .field("key_template", &self.key_template)
            .field("append_connections", &self.append_connections)
            .field("read_connections", &self.read_connections)
            .field("tail", &self.tail)
            .field("durability", &self.durability)
            .field("durability_timeout", &self.durability_timeout)
            .field("append_outage_wait", &self.append_outage_wait)
            .field("limits", &self.limits)
            .field("retention", &self.retention)
            .field("hub", &self.hub)
            .finish_non_exhaustive()
    }
}

/// Why the first connection failed: one line for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConnectError(pub(crate) String);
