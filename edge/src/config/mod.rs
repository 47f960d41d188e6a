//! Everything an operator may set: one struct, complete and checked before a port opens.
//!
//! A flag beats the environment, which beats the file, which beats the default. The reference for operators is
//! `docs/configuration.md`: its tables are made of the comments of the fields here and of what they are set to when
//! nobody says otherwise, and a test tells when they are to be made anew.

mod broker_settings;
mod defaults;
mod load;
mod redis_url;
#[cfg(test)]
mod reference;
mod secret;
mod socketio;
mod units;
mod validate;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use broker::{Durability, HubConfig, Limits, MemoryConfig, RedisConfig, RetentionRules, TailMode, TlsFiles};
use serde::{Deserialize, Serialize};
use shared::telemetry::LogFormat;

pub use load::{ConfigError, ConfigErrors};
pub use redis_url::{RedisUrl, RedisUrlError};
pub use secret::{Secret, SecretError};
pub use socketio::{
    AnnounceSettings, ClusterSettings, NamespaceSettings, RouteAction, RouteSettings, SocketIoSettings,
};

/// Everything an operator may set.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address to listen on. `0.0.0.0:7400` is every interface; port 0 takes a free one and logs it.
    pub listen: String,
    /// Where the streams are kept.
    pub redis: RedisSettings,
    /// How logs look.
    pub log: LogSettings,
    /// Bounds.
    pub limits: LimitSettings,
    /// How much one client may ask for in a second.
    pub rate: RateSettings,
    /// Which web pages may use this edge.
    pub cors: CorsSettings,
    /// Publishing.
    pub publish: PublishSettings,
    /// Live tails and subscriptions.
    pub tail: TailSettings,
    /// WebSockets.
    pub ws: WsSettings,
    /// Socket.IO.
    pub socketio: SocketIoSettings,
    /// How edges find and trust each other.
    pub cluster: ClusterSettings,
    /// What is kept of which stream.
    #[serde(
        serialize_with = "broker_settings::write_retention",
        deserialize_with = "broker_settings::retention"
    )]
    #[cfg_attr(test, schemars(with = "broker_settings::RetentionFile"))]
    pub retention: RetentionRules,
    /// Recent history in memory.
    #[serde(
        serialize_with = "broker_settings::write_hub",
        deserialize_with = "broker_settings::hub"
    )]
    #[cfg_attr(test, schemars(with = "broker_settings::HubFile"))]
    pub hub: HubConfig,
    /// The in-memory engine.
    pub memory: MemorySettings,
    /// Spans for OpenTelemetry.
    pub otlp: OtlpSettings,
    /// The end.
    pub drain: DrainSettings,
}

/// Where the streams are kept.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RedisSettings {
    /// `redis://[user:password@]host:port/db`, `rediss://…` with TLS, `unix:///path`, or the master that Sentinels
    /// name: `redis-sentinel://[user:password@]host[:26379][,host[:port]…]/master[/db]`, `rediss-sentinel://…`; or the
    /// masters of a Redis Cluster, of which some nodes are named: `redis-cluster://[user:password@]host[:6379][,host[:port]…]`,
    /// `rediss-cluster://…`. Without it streams are kept in memory. It is never printed with its password.
    #[cfg_attr(test, schemars(with = "String"))]
    pub url: Option<RedisUrl>,
    /// The password, for a URL without one. It is never printed.
    #[cfg_attr(test, schemars(with = "String"))]
    pub password: Option<Secret>,
    /// A file that holds it; white space around it does not count.
    pub password_file: Option<PathBuf>,
    /// With TLS: the file (PEM) with the certificates to trust. Without it, those that this machine trusts.
    pub tls_ca_file: Option<PathBuf>,
    /// With TLS, for a Redis that asks for one: the file (PEM) with the certificate of this edge.
    pub tls_cert_file: Option<PathBuf>,
    /// The file (PEM) with the private key of that certificate.
    pub tls_key_file: Option<PathBuf>,
    /// Key of a stream; `NAME` stands for its name. The braces are the hash tag of Redis Cluster. A template such
    /// as `"logs:NAME"` serves streams that others write.
    pub key_template: String,
    /// Connections for publishing, shared by all publishers.
    pub append_connections: usize,
    /// Connections for reading pages, shared by all readers.
    pub read_connections: usize,
    /// How live tails learn of new entries: `"auto"` uses client tracking, and blocking reads where the server
    /// refuses it; `"blocking"` always uses blocking reads.
    #[serde(
        serialize_with = "broker_settings::write_tail_mode",
        deserialize_with = "broker_settings::tail_mode"
    )]
    #[cfg_attr(test, schemars(with = "String"))]
    pub tail: TailMode,
}

/// How logs look.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// Level, or a list of directives such as `"info,broker=debug"`. `debug` has a line for every request,
    /// connection and publish.
    pub level: String,
    /// `"text"`, or `"json"`: one object a line. Logs go to standard error.
    #[cfg_attr(test, schemars(with = "String"))]
    pub format: LogFormat,
}

/// Bounds on what clients send and hold.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct LimitSettings {
    /// Connections at the same time, WebSockets included. Further ones wait to be accepted. Each takes an open
    /// file; the edge raises its own limit of them as far as it may.
    #[serde(rename = "connections")]
    pub connections_max: usize,
    /// Head of a request. Beyond it: 431.
    #[serde(
        rename = "header_bytes",
        serialize_with = "units::write_bytes",
        deserialize_with = "units::bytes"
    )]
    pub header_bytes_max: usize,
    /// How long a client may take to send a head, and how long a connection may idle between requests.
    #[serde(
        serialize_with = "units::write_duration",
        deserialize_with = "units::duration"
    )]
    pub header_timeout: Duration,
    /// How long a client may take to send the body of one event. Uploads of lines may take for ever.
    #[serde(
        serialize_with = "units::write_duration",
        deserialize_with = "units::duration"
    )]
    pub body_timeout: Duration,
    /// One event: data, name and all. Bodies and lines may have 4 KiB more, for the JSON around it. Beyond it: 413,
    /// or an error line.
    #[serde(
        rename = "event_bytes",
        serialize_with = "units::write_bytes",
        deserialize_with = "units::bytes"
    )]
    pub event_bytes_max: usize,
    /// Name of a stream; 200 at the most.
    #[serde(rename = "name_bytes")]
    pub name_bytes_max: usize,
    /// Streams of one subscriber. A merged tail and a Socket.IO client have 64 at the most.
    #[serde(rename = "streams_per_subscriber")]
    pub subscriptions_max: usize,
    /// A peer that takes no byte for so long while there are some for it, or that does not answer the kernel's
    /// questions, counts as gone. It may resume.
    #[serde(
        serialize_with = "units::write_duration",
        deserialize_with = "units::duration"
    )]
    pub peer_timeout: Duration,
    /// Longest wait of a long poll; a longer `wait` is cut to it.
    #[serde(
        rename = "wait",
        serialize_with = "units::write_duration",
        deserialize_with = "units::duration"
    )]
    pub wait_max: Duration,
}

/// How much one client address may ask for in a second. Zero is no limit.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RateSettings {
    /// HTTP requests, WebSocket handshakes included.
    pub requests_per_second: u32,
    /// Requests at once; 0 is as many as in a second.
    pub requests_burst: u32,
    /// Published events.
    pub publishes_per_second: u32,
    /// Published events at once; 0 is as many as in a second.
    pub publishes_burst: u32,
    /// Addresses of load balancers whose `X-Forwarded-For` names the client. Without them, all clients behind one
    /// share its limits.
    pub trusted_proxies: Vec<IpAddr>,
}

/// Which web pages may use this edge.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct CorsSettings {
    /// Origins whose pages may use this edge: `"https://app.example"`, with any port `"http://localhost:*"`, or
    /// `"*"` for all. `"null"` is a page opened from a file. Pages served under the edge's own address are always
    /// allowed.
    pub allowed_origins: Vec<String>,
}

/// Publishing.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct PublishSettings {
    /// How long an idempotency key is remembered.
    #[serde(
        serialize_with = "units::write_duration",
        deserialize_with = "units::duration"
    )]
    pub idempotency_window: Duration,
    /// While the log is away, an upload of lines is held for so long before its lines are answered with errors.
    #[serde(
        serialize_with = "units::write_duration",
        deserialize_with = "units::duration"
    )]
    pub hold: Duration,
    /// How long Redis may be away before publishes are refused at once instead of waiting for it: 0 refuses them as soon as
    /// that is known, 30 s is the most.
    #[serde(
        serialize_with = "units::write_duration",
        deserialize_with = "units::duration"
    )]
    pub outage_wait: Duration,
    /// What must have an event before it is acknowledged, if its publisher does not say: `"primary"`, its memory;
    /// `"replicas:2"`, the memory of so many replicas too (`WAIT`); `"fsync"`, its append-only file on the disk, and with
    /// `"fsync:1"` those of so many replicas (`WAITAOF`, Redis 7.2 or newer).
    #[serde(
        serialize_with = "broker_settings::write_durability",
        deserialize_with = "broker_settings::durability"
    )]
    #[cfg_attr(test, schemars(with = "String"))]
    pub durability: Durability,
    /// How long is waited for more than the primary's memory, before a publisher is told that its event is in the log but not that
    /// durable (`not_durable`); 4 s at the most.
    #[serde(
        serialize_with = "units::write_duration",
        deserialize_with = "units::duration"
    )]
    pub durability_timeout: Duration,
}

/// Live tails and subscriptions.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct TailSettings {
    /// A silent tail shows a sign of life so often. Keep it below the time after which proxies cut silent
    /// connections.
    #[serde(
        serialize_with = "units::write_duration",
        deserialize_with = "units::duration"
    )]
    pub heartbeat: Duration,
    /// After which pause an `EventSource` is asked to come back.
    #[serde(
        serialize_with = "units::write_duration",
        deserialize_with = "units::duration"
    )]
    pub retry: Duration,
    /// Bytes handed to one socket at a time. A slower reader pages from the log at its own pace.
    #[serde(
        rename = "outbox_bytes",
        serialize_with = "units::write_bytes",
        deserialize_with = "units::bytes"
    )]
    pub outbox_bytes_max: usize,
}

/// WebSockets.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct WsSettings {
    /// Time between two pings on a WebSocket.
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
    pub pong_timeout: Duration,
    /// How long a WebSocket client may take nothing of what is sent to it.
    #[serde(
        serialize_with = "units::write_duration",
        deserialize_with = "units::duration"
    )]
    pub write_timeout: Duration,
    /// Publishes of one WebSocket that are not acknowledged yet; beyond that it is not read.
    #[serde(rename = "publishes_in_flight")]
    pub publishes_in_flight_max: usize,
    /// Frames that are read from one WebSocket in a second; a faster client is slowed down.
    pub frames_per_second: u32,
}

/// The in-memory engine.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct MemorySettings {
    /// Without Redis: bytes that all streams may take together.
    #[serde(
        rename = "bytes",
        serialize_with = "units::write_bytes",
        deserialize_with = "units::bytes"
    )]
    pub bytes_max: usize,
}

/// Spans for OpenTelemetry.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct OtlpSettings {
    /// The collector that takes spans over OTLP/HTTP, such as `"http://127.0.0.1:4318"`. Without it none are sent.
    pub endpoint: Option<String>,
    /// `"protobuf"` or `"json"`.
    pub protocol: OtlpProtocol,
}

/// How spans are encoded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum OtlpProtocol {
    /// What every collector takes.
    #[default]
    Protobuf,
    /// For people who look at it.
    Json,
}

/// The end of an edge.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct DrainSettings {
    /// On SIGTERM or SIGINT the edge stops accepting, tells subscribers to come back, and lets requests and uploads
    /// finish for so long. A second signal ends it at once.
    #[serde(
        serialize_with = "units::write_duration",
        deserialize_with = "units::duration"
    )]
    pub deadline: Duration,
}

impl RedisSettings {
    /// The URL with the password that is set, or stands in the file that is set.
    pub fn url_with_password(&self) -> Result<Option<RedisUrl>, String> {
        let password = secret::read(
            "redis.password",
            self.password.as_ref(),
            self.password_file.as_deref(),
        )?;
        match (&self.url, password) {
            (url, None) => Ok(url.clone()),
            (None, Some(_)) => Err("redis.password: there is no redis.url that it is for".into()),
            (Some(url), Some(password)) => url
                .with_password(password.expose())
                .map(Some)
                .ok_or_else(|| "redis.password: redis.url has a password already".into()),
        }
    }
}

impl Config {
    /// The settings of the Redis engine; `None` if the streams are kept in memory. The error is that of a password
    /// that cannot be read or used.
    pub fn redis_config(&self) -> Result<Option<RedisConfig>, String> {
        let Some(url) = self.redis.url_with_password()? else {
            return Ok(None);
        };
        Ok(Some(RedisConfig {
            tls: TlsFiles {
                ca: self.redis.tls_ca_file.clone(),
                cert: self.redis.tls_cert_file.clone(),
                key: self.redis.tls_key_file.clone(),
            },
            key_template: self.redis.key_template.clone(),
            append_connections: self.redis.append_connections,
            read_connections: self.redis.read_connections,
            tail: self.redis.tail,
            durability: self.publish.durability,
            durability_timeout: self.publish.durability_timeout,
            append_outage_wait: self.publish.outage_wait,
            limits: self.append_limits(),
            retention: self.retention.clone(),
            hub: self.hub.clone(),
            ..RedisConfig::new(url.expose())
        }))
    }

    /// The settings of the in-memory engine.
    pub fn memory_config(&self) -> MemoryConfig {
        MemoryConfig {
            limits: self.append_limits(),
            retention: self.retention.clone(),
            hub: self.hub.clone(),
            bytes_max: self.memory.bytes_max,
            ..MemoryConfig::default()
        }
    }

    fn append_limits(&self) -> Limits {
        Limits {
            event_bytes_max: self.limits.event_bytes_max,
            idempotency_window: self.publish.idempotency_window,
        }
    }
}
