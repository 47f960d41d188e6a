//! The sections `[socketio]` and `[cluster]`, in the form the file has them. What the routes mean, and whether they
//! make sense together, is decided in [`crate::gateway::Namespaces`].

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use shared::limits::{self, CLUSTER_SECRET_BYTES_MAX, CLUSTER_SECRET_BYTES_MIN};

use super::units;
use crate::gateway::Template;

/// Socket.IO.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SocketIoSettings {
    /// Whether it is served at all.
    pub enabled: bool,
    /// Where: begins and ends with a slash.
    pub path: String,
    /// Time between two pings.
    #[serde(deserialize_with = "units::duration")]
    pub ping_interval: Duration,
    /// How long the answer to a ping may take.
    #[serde(deserialize_with = "units::duration")]
    pub ping_timeout: Duration,
    /// Bytes of one message, or of one polling request.
    #[serde(rename = "max_payload", deserialize_with = "units::bytes")]
    pub payload_bytes_max: usize,
    /// How long a client may take until it has connected to its first namespace.
    #[serde(deserialize_with = "units::duration")]
    pub connect_timeout: Duration,
    /// How long the change from polling to WebSocket may take.
    #[serde(deserialize_with = "units::duration")]
    pub upgrade_timeout: Duration,
    /// How long a client may take nothing of what is sent to it.
    #[serde(deserialize_with = "units::duration")]
    pub write_timeout: Duration,
    /// How long a lost session can be recovered.
    #[serde(deserialize_with = "units::duration")]
    pub session_ttl: Duration,
    /// Publishes of one socket that are not acknowledged yet; beyond that its connection is not read.
    #[serde(rename = "publishes_in_flight")]
    pub publishes_in_flight_max: usize,
    /// The namespaces that clients may connect to. The first that fits counts.
    pub namespaces: Vec<NamespaceSettings>,
    /// What the events of clients do.
    pub routes: Vec<RouteSettings>,
}

/// Namespaces of one kind.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamespaceSettings {
    /// A name such as `/` or `/admin`, or a pattern such as `/org-*`.
    pub name: String,
    /// Whether a lost session can be recovered.
    #[serde(default = "yes")]
    pub recovery: bool,
}

/// What one event does.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteSettings {
    /// In which namespaces: one of `namespaces`, written as there.
    #[serde(default = "main_namespace")]
    pub namespace: String,
    /// The client's event; `connect` is the moment at which it comes in.
    pub event: String,
    /// What is done.
    pub action: RouteAction,
    /// On which stream.
    #[serde(default)]
    pub stream: Option<Template>,
    /// On which streams, where there are several.
    #[serde(default)]
    pub streams: Vec<Template>,
    /// The name under which a publish is stored; without it, that of the client's event.
    #[serde(default, rename = "as")]
    pub publish_as: Option<String>,
    /// Whether the sender gets back what it has sent, as every other subscriber does.
    #[serde(default)]
    pub echo: Option<bool>,
    /// Whether the event skips the log.
    #[serde(default)]
    pub ephemeral: Option<bool>,
    /// The idempotency key of a publish.
    #[serde(default)]
    pub key: Option<Template>,
    /// Where a subscription begins: `start` or `now`.
    #[serde(default)]
    pub from: Option<String>,
    /// Begins with the last so many events.
    #[serde(default)]
    pub last: Option<usize>,
    /// Begins at this time, or so long ago.
    #[serde(default)]
    pub since: Option<String>,
    /// What is published to the streams that were subscribed to.
    #[serde(default)]
    pub announce: Option<AnnounceSettings>,
}

/// What a route does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RouteAction {
    /// Follows streams.
    Subscribe,
    /// Stops following streams.
    Unsubscribe,
    /// Appends an event.
    Publish,
}

/// What is published to the streams that a socket has begun to follow.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnnounceSettings {
    /// The name of the event.
    pub event: String,
    /// Whether it skips the log.
    #[serde(default)]
    pub ephemeral: bool,
}

/// How edges find and trust each other.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterSettings {
    /// Where other edges reach this one: host and port. Without it, the address it listens on.
    pub advertise: Option<String>,
    /// What edges prove to each other that they know.
    pub secret: Option<Secret>,
    /// A file that holds it.
    pub secret_file: Option<PathBuf>,
}

/// What is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret, for the one who uses it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    fn new(text: &str) -> Result<Self, SecretError> {
        let range = CLUSTER_SECRET_BYTES_MIN..=CLUSTER_SECRET_BYTES_MAX;
        match range.contains(&text.len()) {
            true => Ok(Self(text.to_owned())),
            false => Err(SecretError),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// The text is too short or too long for a secret. It is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret has {CLUSTER_SECRET_BYTES_MIN} to {CLUSTER_SECRET_BYTES_MAX} bytes")]
pub struct SecretError;

impl ClusterSettings {
    /// The secret that is set, or stands in the file that is set; surrounding white space of the file does not count.
    pub fn read_secret(&self) -> Result<Option<Secret>, String> {
        match (&self.secret, &self.secret_file) {
            (Some(_), Some(_)) => Err("cluster.secret and cluster.secret_file exclude each other".into()),
            (Some(secret), None) => Ok(Some(secret.clone())),
            (None, Some(path)) => read_secret_file(path)
                .map(Some)
                .map_err(|problem| format!("cluster.secret_file: {}: {problem}", path.display())),
            (None, None) => Ok(None),
        }
    }
}

fn read_secret_file(path: &Path) -> Result<Secret, String> {
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    Secret::new(text.trim()).map_err(|e| e.to_string())
}

impl Default for SocketIoSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            path: "/socket.io/".into(),
            ping_interval: limits::ENGINE_PING_INTERVAL,
            ping_timeout: limits::ENGINE_PING_TIMEOUT,
            payload_bytes_max: limits::ENGINE_PAYLOAD_BYTES_MAX,
            connect_timeout: limits::SIO_CONNECT_TIMEOUT,
            upgrade_timeout: limits::ENGINE_UPGRADE_TIMEOUT,
            write_timeout: limits::ENGINE_WRITE_TIMEOUT,
            session_ttl: limits::SIO_SESSION_TTL,
            publishes_in_flight_max: limits::SIO_PUBLISHES_IN_FLIGHT_MAX,
            namespaces: vec![NamespaceSettings {
                name: main_namespace(),
                recovery: true,
            }],
            routes: Vec::new(),
        }
    }
}

fn main_namespace() -> String {
    "/".into()
}

fn yes() -> bool {
    true
}
