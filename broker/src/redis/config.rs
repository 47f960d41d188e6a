//! Settings of the Redis engine.

use std::fmt;

use super::connect::Connector;
use super::keys::KeyTemplate;
use crate::{HubConfig, Limits, RetentionRules};

/// How the tail learns of new entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TailMode {
    /// Client tracking; blocking reads where the server refuses it.
    #[default]
    Auto,
    /// Blocking reads.
    Blocking,
}

/// Settings of the Redis engine. [`RedisConfig::new`] gives the defaults.
#[derive(Clone)]
pub struct RedisConfig {
    /// `redis://[user:password@]host:port/db`, `rediss://…` with TLS, or `unix:///path?user=…&pass=…&db=…`.
    pub url: String,
    /// Key of a stream, with `NAME` standing for the name: `weir:{NAME}` makes `weir:{doc:1}`. The braces are a
    /// Redis Cluster hash tag; a template without them, such as `logs:NAME`, serves keys that others write.
    pub key_template: String,
    /// Multiplexed connections for appends.
    pub append_connections: usize,
    /// Connections for page reads.
    pub read_connections: usize,
    /// How the tail learns of new entries.
    pub tail: TailMode,
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
            key_template: "weir:{NAME}".into(),
            append_connections: 2,
            read_connections: 4,
            tail: TailMode::default(),
            limits: Limits::default(),
            retention: RetentionRules::default(),
            hub: HubConfig::default(),
        }
    }

    /// Checks what can be checked without a server: the URL and the template.
    pub fn check(&self) -> Result<(), ConnectError> {
        KeyTemplate::parse(&self.key_template).map_err(|e| ConnectError(e.to_string()))?;
        Connector::new(&self.url).map(|_| ())
    }
}

impl fmt::Debug for RedisConfig {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("key_template", &self.key_template)
            .field("append_connections", &self.append_connections)
            .field("read_connections", &self.read_connections)
            .field("tail", &self.tail)
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
