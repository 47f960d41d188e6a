//! Everything an operator may set: one struct, complete and checked before a port opens.
//!
//! A flag beats the environment, which beats the file, which beats the default. The reference for operators is
//! `docs/configuration.md`; a test reads every option and default in it against this code.

mod broker_settings;
mod defaults;
mod load;
mod redis_url;
mod socketio;
mod units;

use std::net::IpAddr;
use std::time::Duration;

use broker::{HubConfig, Limits, MemoryConfig, RedisConfig, RetentionRules, TailMode};
use serde::Deserialize;
use shared::telemetry::LogFormat;

pub use load::ConfigError;
pub use redis_url::{RedisUrl, RedisUrlError};
pub use socketio::{
    AnnounceSettings, ClusterSettings, NamespaceSettings, RouteAction, RouteSettings, Secret, SecretError,
    SocketIoSettings,
};

/// Everything an operator may set.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address to listen on: host and port.
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
    #[serde(deserialize_with = "broker_settings::retention")]
    pub retention: RetentionRules,
    /// Recent history in memory.
    #[serde(deserialize_with = "broker_settings::hub")]
    pub hub: HubConfig,
    /// The in-memory engine.
    pub memory: MemorySettings,
    /// The end.
    pub drain: DrainSettings,
}

/// Where the streams are kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedisSettings {
    /// The server; `None` keeps the streams in memory.
    pub url: Option<RedisUrl>,
    /// Key of a stream, with `NAME` standing for the name.
    pub key_template: String,
    /// Connections for appends.
    pub append_connections: usize,
    /// Connections for page reads.
    pub read_connections: usize,
    /// How the tail learns of new entries.
    #[serde(deserialize_with = "broker_settings::tail_mode")]
    pub tail: TailMode,
}

/// How logs look.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// A `tracing` directive list such as `info,broker=debug`.
    pub level: String,
    /// Text or JSON.
    pub format: LogFormat,
}

/// Bounds on what clients send and hold.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitSettings {
    /// Connections at the same time, WebSockets included.
    #[serde(rename = "connections")]
    pub connections_max: usize,
    /// Bytes of a request's head.
    #[serde(rename = "header_bytes", deserialize_with = "units::bytes")]
    pub header_bytes_max: usize,
    /// How long a client may take to send a request's head.
    #[serde(deserialize_with = "units::duration")]
    pub header_timeout: Duration,
    /// How long a client may take to send the body of one event.
    #[serde(deserialize_with = "units::duration")]
    pub body_timeout: Duration,
    /// Bytes of one event, all its parts together.
    #[serde(rename = "event_bytes", deserialize_with = "units::bytes")]
    pub event_bytes_max: usize,
    /// Bytes of a stream name.
    #[serde(rename = "name_bytes")]
    pub name_bytes_max: usize,
    /// Streams of one subscriber.
    #[serde(rename = "streams_per_subscriber")]
    pub subscriptions_max: usize,
    /// How long a peer may take no byte before its connection counts as dead.
    #[serde(deserialize_with = "units::duration")]
    pub peer_timeout: Duration,
    /// Longest wait of a long poll.
    #[serde(rename = "wait", deserialize_with = "units::duration")]
    pub wait_max: Duration,
}

/// How much one client address may ask for in a second. Zero is no limit.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateSettings {
    /// Requests in a second, over time.
    pub requests_per_second: u32,
    /// Requests at once; zero is as many as in a second.
    pub requests_burst: u32,
    /// Published events in a second, over time.
    pub publishes_per_second: u32,
    /// Published events at once; zero is as many as in a second.
    pub publishes_burst: u32,
    /// Proxies whose `X-Forwarded-For` names the client.
    pub trusted_proxies: Vec<IpAddr>,
}

/// Which web pages may use this edge.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CorsSettings {
    /// Origins such as `https://app.example` or `http://localhost:*`; `*` is any; empty is none.
    pub allowed_origins: Vec<String>,
}

/// Publishing.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PublishSettings {
    /// How long an idempotency key is remembered.
    #[serde(deserialize_with = "units::duration")]
    pub idempotency_window: Duration,
    /// How long an upload of lines is held while the log is away, before a line is answered with an error.
    #[serde(deserialize_with = "units::duration")]
    pub hold: Duration,
}

/// Live tails and subscriptions.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TailSettings {
    /// Pause without traffic after which a sign of life is sent.
    #[serde(deserialize_with = "units::duration")]
    pub heartbeat: Duration,
    /// After which pause a browser's `EventSource` is asked to come back.
    #[serde(deserialize_with = "units::duration")]
    pub retry: Duration,
    /// Bytes that are handed to one socket at a time; a slower reader pages from the log.
    #[serde(rename = "outbox_bytes", deserialize_with = "units::bytes")]
    pub outbox_bytes_max: usize,
}

/// WebSockets.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WsSettings {
    /// Time between two pings.
    #[serde(deserialize_with = "units::duration")]
    pub ping_interval: Duration,
    /// How long the answer to a ping may take.
    #[serde(deserialize_with = "units::duration")]
    pub pong_timeout: Duration,
    /// How long a client may take nothing of what is sent to it.
    #[serde(deserialize_with = "units::duration")]
    pub write_timeout: Duration,
    /// Publishes of one socket that are not acknowledged yet; beyond that it is not read.
    #[serde(rename = "publishes_in_flight")]
    pub publishes_in_flight_max: usize,
    /// Frames per second that are read from one socket; a faster client is slowed down.
    pub frames_per_second: u32,
}

/// The in-memory engine.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MemorySettings {
    /// Bytes over all streams.
    #[serde(rename = "bytes", deserialize_with = "units::bytes")]
    pub bytes_max: usize,
}

/// The end of an edge.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DrainSettings {
    /// How long a shutdown waits for what is under way.
    #[serde(deserialize_with = "units::duration")]
    pub deadline: Duration,
}

impl Config {
    /// The settings of the Redis engine; `None` if the streams are kept in memory.
    pub fn redis_config(&self) -> Option<RedisConfig> {
        let url = self.redis.url.as_ref()?.expose();
        Some(RedisConfig {
            key_template: self.redis.key_template.clone(),
            append_connections: self.redis.append_connections,
            read_connections: self.redis.read_connections,
            tail: self.redis.tail,
            limits: self.append_limits(),
            retention: self.retention.clone(),
            hub: self.hub.clone(),
            ..RedisConfig::new(url)
        })
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
