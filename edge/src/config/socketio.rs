//! The sections `[socketio]` and `[cluster]`, in the form the file has them. What the routes mean, and whether they
//! make sense together, is decided in [`crate::gateway::Namespaces`].

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::limits::{self, CLUSTER_SECRET_BYTES_MIN};

use super::secret::{self, Secret};
use super::units;
use crate::gateway::Template;

/// Socket.IO.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct SocketIoSettings {
    /// Whether Socket.IO is served.
    pub enabled: bool,
    /// Where; the `path` of the client. Begins and ends with a slash.
    pub path: String,
    /// Time between two pings.
    #[serde(
        serialize_with = "units::write_duration",
        deserialize_with = "units::duration"
    )]
    pub ping_interval: Duration,
    /// How long the answer to a ping may take.
    #[serde(
        serialize_with = "units::write_duration",
        deserialize_with = "units::duration"
    )]
    pub ping_timeout: Duration,
    /// One message, or one polling request. Beyond it the connection is closed; over polling with 413.
    #[serde(
        rename = "max_payload",
        serialize_with = "units::write_bytes",
        deserialize_with = "units::bytes"
    )]
    pub payload_bytes_max: usize,
    /// How long a client may take until it has connected to its first namespace.
    #[serde(
        serialize_with = "units::write_duration",
        deserialize_with = "units::duration"
    )]
    pub connect_timeout: Duration,
    /// How long the change from polling to WebSocket may take.
    #[serde(
        serialize_with = "units::write_duration",
        deserialize_with = "units::duration"
    )]
    pub upgrade_timeout: Duration,
    /// How long a client may take nothing of what is sent to it.
    #[serde(
        serialize_with = "units::write_duration",
        deserialize_with = "units::duration"
    )]
    pub write_timeout: Duration,
    /// How long a lost session can be recovered, at least.
    #[serde(
        serialize_with = "units::write_duration",
        deserialize_with = "units::duration"
    )]
    pub session_ttl: Duration,
    /// Publishes of one socket that are not acknowledged yet; beyond that its connection is not read.
    #[serde(rename = "publishes_in_flight")]
    pub publishes_in_flight_max: usize,
    /// Which namespaces there are: `name`, in which `*` stands for anything (`/org-*`), and whether lost sessions
    /// are recovered (`recovery`, `true` if it is not said). The first that fits counts. A list replaces this one,
    /// so name `/` in it too.
    pub namespaces: Vec<NamespaceSettings>,
    /// What the events of clients do, beside the built-in ones: see below.
    pub routes: Vec<RouteSettings>,
}

/// Namespaces of one kind.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NamespaceSettings {
    /// A name such as `/` or `/admin`, or a pattern such as `/org-*`.
    pub name: String,
    /// Whether a lost session can be recovered.
    #[serde(default = "yes")]
    pub recovery: bool,
}

/// What one event does.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RouteSettings {
    /// One of `socketio.namespaces`, written as there; without it, `/`.
    #[serde(default = "main_namespace")]
    pub namespace: String,
    /// The client's event. `connect` is the moment at which a client comes in; it can only subscribe.
    pub event: String,
    /// `subscribe`, `unsubscribe` or `publish`.
    pub action: RouteAction,
    /// The stream, with [placeholders](socketio.md#routes) such as `doc:{0}`.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "String"))]
    pub stream: Option<Template>,
    /// Several, for `subscribe` and `unsubscribe`.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub streams: Vec<Template>,
    /// For `publish`: the name of the stored event; without it, that of the client's event.
    #[serde(default, rename = "as")]
    pub publish_as: Option<String>,
    /// For `publish` and announcements: `false` keeps the event from the socket that sent it.
    #[serde(default)]
    pub echo: Option<bool>,
    /// For `publish`: `true` skips the log; the event reaches those who are connected and can take it.
    #[serde(default)]
    pub ephemeral: Option<bool>,
    /// For `publish`: the idempotency key, with placeholders.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "String"))]
    pub key: Option<Template>,
    /// For `subscribe`: `"start"` or `"now"` (the default).
    #[serde(default)]
    pub from: Option<String>,
    /// For `subscribe`: begins with the last so many events.
    #[serde(default)]
    pub last: Option<usize>,
    /// For `subscribe`: begins at a time (RFC 3339), or so long ago (`"15m"`).
    #[serde(default)]
    pub since: Option<String>,
    /// For `subscribe`: `{ event = "user_joined", ephemeral = true }` publishes the remaining arguments to the
    /// stream.
    #[serde(default)]
    pub announce: Option<AnnounceSettings>,
}

/// What a route does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[derive(Debug, Clone, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AnnounceSettings {
    /// The name of the event.
    pub event: String,
    /// Whether it skips the log.
    #[serde(default)]
    pub ephemeral: bool,
}

/// How edges find and trust each other.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ClusterSettings {
    /// Where other edges reach this one, `host:port`. Without it, the address it listens on; if that is every
    /// interface, the one that leads to Redis.
    pub advertise: Option<String>,
    /// What edges prove to each other that they know, 16 bytes or more. Without it, the first edge puts a random
    /// one into Redis. It is never printed.
    #[cfg_attr(test, schemars(with = "String"))]
    pub secret: Option<Secret>,
    /// A file that holds it; white space around it does not count.
    pub secret_file: Option<PathBuf>,
}

impl ClusterSettings {
    /// The secret that is set, or stands in the file that is set.
    pub fn read_secret(&self) -> Result<Option<Secret>, String> {
        let secret = secret::read(
            "cluster.secret",
            self.secret.as_ref(),
            self.secret_file.as_deref(),
        )?;
        if secret
            .as_ref()
            .is_some_and(|secret| secret.expose().len() < CLUSTER_SECRET_BYTES_MIN)
        {
            return Err(format!(
                "cluster.secret: it is too short, expected {CLUSTER_SECRET_BYTES_MIN} bytes or more"
            ));
        }
        Ok(secret)
    }
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
