//! Everything an operator may set: one struct, complete and checked before a port opens.
//!
//! A flag beats the environment, which beats the file, which beats the default. The reference for operators is
//! `docs/configuration.md`; a test reads every option and default in it against this code.

use std::time::Duration;

use broker::{HubConfig, Limits, MemoryConfig, RedisConfig, RetentionRules, TailMode};
use shared::limits;
use shared::telemetry::LogFormat;

/// Everything an operator may set.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address to listen on: host and port.
    pub listen: String,
    /// Where the streams are kept.
    pub redis: RedisSettings,
    /// How logs look.
    pub log: LogSettings,
    /// Bounds.
    pub limits: LimitSettings,
    /// Live tails and subscriptions.
    pub tail: TailSettings,
    /// WebSockets.
    pub ws: WsSettings,
    /// Which web pages may use this edge.
    pub cors: CorsSettings,
    /// What is kept of which stream.
    pub retention: RetentionRules,
    /// How long an idempotency key is remembered.
    pub idempotency_window: Duration,
    /// Recent history in memory.
    pub hub: HubConfig,
    /// Bytes that the in-memory engine holds over all streams.
    pub memory_bytes_max: usize,
    /// How long a shutdown waits for what is under way.
    pub drain_deadline: Duration,
}

/// Where the streams are kept.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// The server; `None` keeps the streams in memory.
    pub url: Option<String>,
    /// Key of a stream.
    pub key_template: String,
    /// Connections for appends.
    pub append_connections: usize,
    /// Connections for page reads.
    pub read_connections: usize,
    /// How the tail learns of new entries.
    pub tail: TailMode,
}

/// How logs look.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// A `tracing` directive list such as `info,broker=debug`.
    pub level: String,
    /// Text or JSON.
    pub format: LogFormat,
}

/// Bounds on what clients send and hold.
#[derive(Debug, Clone)]
pub struct LimitSettings {
    /// Connections at the same time, WebSockets included.
    pub connections_max: usize,
    /// Bytes of a request's head.
    pub header_bytes_max: usize,
    /// How long a client may take to send a request's head.
    pub header_timeout: Duration,
    /// How long a client may take to send the body of one event.
    pub body_timeout: Duration,
    /// Bytes of one event, all its parts together.
    pub event_bytes_max: usize,
    /// Streams of one subscriber.
    pub subscriptions_max: usize,
    /// How long a peer may take no byte before its connection counts as dead.
    pub peer_timeout: Duration,
    /// Longest wait of a long poll.
    pub wait_max: Duration,
}

/// Live tails and subscriptions.
#[derive(Debug, Clone)]
pub struct TailSettings {
    /// Pause without traffic after which a sign of life is sent.
    pub heartbeat: Duration,
    /// After which pause a browser's `EventSource` is asked to come back.
    pub retry: Duration,
    /// Bytes that are handed to one socket at a time; a slower reader pages from the log.
    pub outbox_bytes_max: usize,
}

/// WebSockets.
#[derive(Debug, Clone)]
pub struct WsSettings {
    /// Time between two pings.
    pub ping_interval: Duration,
    /// How long the answer to a ping may take.
    pub pong_timeout: Duration,
    /// How long a client may take nothing of what is sent to it.
    pub write_timeout: Duration,
    /// Publishes of one socket that are not acknowledged yet; beyond that it is not read.
    pub publishes_in_flight_max: usize,
    /// Frames per second that are read from one socket; a faster client is slowed down.
    pub frames_per_second: u32,
}

/// Which web pages may use this edge.
#[derive(Debug, Clone)]
pub struct CorsSettings {
    /// Origins such as `https://app.example`; `*` is any; empty is none.
    pub allowed_origins: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:7400".into(),
            redis: RedisSettings {
                url: None,
                key_template: "weir:{NAME}".into(),
                append_connections: 2,
                read_connections: 2,
                tail: TailMode::Auto,
            },
            log: LogSettings {
                level: "info".into(),
                format: LogFormat::Text,
            },
            limits: LimitSettings {
                connections_max: limits::CONNECTIONS_MAX,
                header_bytes_max: limits::HEADER_BYTES_MAX,
                header_timeout: limits::HEADER_TIMEOUT,
                body_timeout: limits::BODY_TIMEOUT,
                event_bytes_max: limits::DATA_BYTES_MAX,
                subscriptions_max: limits::STREAMS_PER_CURSOR_MAX,
                peer_timeout: limits::PEER_TIMEOUT,
                wait_max: limits::WAIT_MAX,
            },
            tail: TailSettings {
                heartbeat: limits::HEARTBEAT,
                retry: limits::RETRY_HINT,
                outbox_bytes_max: limits::OUTBOX_BYTES_MAX,
            },
            ws: WsSettings {
                ping_interval: limits::WS_PING_INTERVAL,
                pong_timeout: limits::WS_PONG_TIMEOUT,
                write_timeout: limits::WS_WRITE_TIMEOUT,
                publishes_in_flight_max: limits::WS_PUBLISHES_IN_FLIGHT_MAX,
                frames_per_second: limits::WS_FRAMES_PER_SECOND,
            },
            cors: CorsSettings {
                allowed_origins: vec!["*".into()],
            },
            retention: RetentionRules::default(),
            idempotency_window: limits::IDEMPOTENCY_WINDOW,
            hub: HubConfig::default(),
            memory_bytes_max: limits::MEMORY_ENGINE_BYTES_MAX,
            drain_deadline: limits::DRAIN_DEADLINE,
        }
    }
}

impl Config {
    /// The settings of the Redis engine; `None` if the streams are kept in memory.
    pub fn redis_config(&self) -> Option<RedisConfig> {
        Some(RedisConfig {
            url: self.redis.url.clone()?,
            key_template: self.redis.key_template.clone(),
            append_connections: self.redis.append_connections,
            read_connections: self.redis.read_connections,
            tail: self.redis.tail,
            limits: self.append_limits(),
            retention: self.retention.clone(),
            hub: self.hub.clone(),
        })
    }

    /// The settings of the in-memory engine.
    pub fn memory_config(&self) -> MemoryConfig {
        MemoryConfig {
            limits: self.append_limits(),
            retention: self.retention.clone(),
            hub: self.hub.clone(),
            bytes_max: self.memory_bytes_max,
        }
    }

    fn append_limits(&self) -> Limits {
        Limits {
            event_bytes_max: self.limits.event_bytes_max,
            idempotency_window: self.idempotency_window,
        }
    }
}
