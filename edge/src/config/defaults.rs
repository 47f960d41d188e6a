//! What everything is set to when nobody says otherwise.

use broker::{HubConfig, RetentionRules, TailMode};
use shared::limits;
use shared::telemetry::LogFormat;

use super::{
    ClusterSettings, Config, CorsSettings, DrainSettings, LimitSettings, LogSettings, MemorySettings,
    OtlpSettings, PublishSettings, RateSettings, RedisSettings, SocketIoSettings, TailSettings, WsSettings,
};

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:7400".into(),
            redis: RedisSettings::default(),
            log: LogSettings::default(),
            limits: LimitSettings::default(),
            rate: RateSettings::default(),
            cors: CorsSettings::default(),
            publish: PublishSettings::default(),
            tail: TailSettings::default(),
            ws: WsSettings::default(),
            socketio: SocketIoSettings::default(),
            cluster: ClusterSettings::default(),
            retention: RetentionRules::default(),
            hub: HubConfig::default(),
            memory: MemorySettings::default(),
            otlp: OtlpSettings::default(),
            drain: DrainSettings::default(),
        }
    }
}

impl Default for RedisSettings {
    fn default() -> Self {
        Self {
            url: None,
            password: None,
            password_file: None,
            tls_ca_file: None,
            tls_cert_file: None,
            tls_key_file: None,
            key_template: "weir:{NAME}".into(),
            append_connections: 2,
            read_connections: 4,
            tail: TailMode::Auto,
        }
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            level: "info".into(),
            format: LogFormat::Text,
        }
    }
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            connections_max: limits::CONNECTIONS_MAX,
            header_bytes_max: limits::HEADER_BYTES_MAX,
            header_timeout: limits::HEADER_TIMEOUT,
            body_timeout: limits::BODY_TIMEOUT,
            event_bytes_max: limits::DATA_BYTES_MAX,
            name_bytes_max: limits::NAME_BYTES_MAX,
            subscriptions_max: limits::STREAMS_PER_CURSOR_MAX,
            peer_timeout: limits::PEER_TIMEOUT,
            wait_max: limits::WAIT_MAX,
        }
    }
}

impl Default for CorsSettings {
    /// Pages that are developed on this machine; everything else is for the operator to allow.
    fn default() -> Self {
        let local = ["http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*"];
        Self {
            allowed_origins: local.map(str::to_owned).to_vec(),
        }
    }
}

impl Default for PublishSettings {
    fn default() -> Self {
        Self {
            idempotency_window: limits::IDEMPOTENCY_WINDOW,
            hold: limits::INGEST_HOLD,
            outage_wait: limits::APPEND_OUTAGE_WAIT,
            durability: broker::Durability::default(),
            durability_timeout: limits::DURABILITY_TIMEOUT,
        }
    }
}

impl Default for TailSettings {
    fn default() -> Self {
        Self {
            heartbeat: limits::HEARTBEAT,
            retry: limits::RETRY_HINT,
            outbox_bytes_max: limits::OUTBOX_BYTES_MAX,
        }
    }
}

impl Default for WsSettings {
    fn default() -> Self {
        Self {
            ping_interval: limits::WS_PING_INTERVAL,
            pong_timeout: limits::WS_PONG_TIMEOUT,
            write_timeout: limits::WS_WRITE_TIMEOUT,
            publishes_in_flight_max: limits::WS_PUBLISHES_IN_FLIGHT_MAX,
            frames_per_second: limits::WS_FRAMES_PER_SECOND,
        }
    }
}

impl Default for MemorySettings {
    fn default() -> Self {
        Self {
            bytes_max: limits::MEMORY_ENGINE_BYTES_MAX,
        }
    }
}

impl Default for DrainSettings {
    fn default() -> Self {
        Self {
            deadline: limits::DRAIN_DEADLINE,
        }
    }
}
