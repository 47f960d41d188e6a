//! What an operator may set.

use std::time::Duration;

use shared::limits;

/// How sessions are served.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where: a path that begins and ends with `/`.
    pub path: String,
    /// Time between the answer to a ping and the next ping.
    pub ping_interval: Duration,
    /// How long the answer to a ping may take.
    pub ping_timeout: Duration,
    /// Bytes of one message, and of one payload of several when polling.
    pub max_payload: usize,
    /// How long the change from polling to WebSocket may take.
    pub upgrade_timeout: Duration,
    /// How long a client may take nothing of what is sent to it.
    pub write_timeout: Duration,
    /// How long a client may take to send what it posts.
    pub body_timeout: Duration,
    /// How long a session may take to end in good order.
    pub close_timeout: Duration,
    /// How long the protocol on top may take to come to an end when the edge stops.
    pub drain_timeout: Duration,
    /// Sessions at the same time.
    pub sessions_max: usize,
    /// By which transports clients may come.
    pub transports: Transports,
}

/// A choice of transports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transports {
    /// HTTP long-polling.
    pub polling: bool,
    /// WebSocket, from the start or later.
    pub websocket: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            path: "/engine.io/".into(),
            ping_interval: limits::ENGINE_PING_INTERVAL,
            ping_timeout: limits::ENGINE_PING_TIMEOUT,
            max_payload: limits::ENGINE_PAYLOAD_BYTES_MAX,
            upgrade_timeout: limits::ENGINE_UPGRADE_TIMEOUT,
            write_timeout: limits::ENGINE_WRITE_TIMEOUT,
            body_timeout: limits::BODY_TIMEOUT,
            close_timeout: limits::ENGINE_CLOSE_TIMEOUT,
            drain_timeout: limits::DRAIN_DEADLINE / 2,
            sessions_max: limits::CONNECTIONS_MAX,
            transports: Transports {
                polling: true,
                websocket: true,
            },
        }
    }
}
