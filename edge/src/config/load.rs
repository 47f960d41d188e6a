//! From a file and what beats it to a complete, checked configuration.

use std::net::ToSocketAddrs as _;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use shared::limits::NAME_BYTES_MAX;

use super::{Config, RedisUrl};
use crate::gateway::Namespaces;
use crate::origins::Origins;

/// Why a configuration cannot be used: one line for the operator, which never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl Config {
    /// The defaults with what a file says over them. Not checked yet: flags may follow.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let shown = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|e| ConfigError(format!("cannot read the configuration file {shown}: {e}")))?;
        Self::from_toml(&text).map_err(|e| ConfigError(format!("{shown}:{e}")))
    }

    /// The defaults with what a TOML text says over them. The error begins with `LINE:COLUMN:`.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| {
            let before = error
                .span()
                .and_then(|span| text.get(..span.start))
                .unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            // The message may have several lines; an error of ours has one.
            let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
            ConfigError(format!("{line}:{column}: {message}"))
        })
    }

    /// Keeps the streams in the Redis at `url`.
    pub fn set_redis(&mut self, url: &str) -> Result<(), ConfigError> {
        let url: RedisUrl = url.parse().map_err(|e| ConfigError(format!("redis.url: {e}")))?;
        self.redis.url = Some(url);
        Ok(())
    }

    /// Checks everything that can be wrong before a port opens.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let (second, day) = (Duration::from_secs(1), Duration::from_secs(24 * 3600));
        let (ms, kib, mib) = (Duration::from_millis(1), 1 << 10, 1 << 20);
        self.listen.to_socket_addrs().map_err(|_| {
            ConfigError(format!(
                "listen: {:?} is not an address: expected host:port",
                self.listen
            ))
        })?;
        Origins::parse(&self.cors.allowed_origins)
            .map_err(|e| ConfigError(format!("cors.allowed_origins: {e}")))?;
        if self.redis.key_template.matches("NAME").count() != 1 {
            return Err(ConfigError(
                "redis.key_template: NAME must stand in it once, as in weir:{NAME}".into(),
            ));
        }
        if self.log.level.trim().is_empty() {
            return Err(ConfigError(
                "log.level: expected such as info, or info,broker=debug".into(),
            ));
        }
        let limits = &self.limits;
        within("redis.append_connections", self.redis.append_connections, 1..=64)?;
        within("redis.read_connections", self.redis.read_connections, 1..=64)?;
        within("limits.connections", limits.connections_max, 1..=10_000_000)?;
        within("limits.header_bytes", limits.header_bytes_max, kib..=mib)?;
        within("limits.event_bytes", limits.event_bytes_max, 1..=16 * mib)?;
        within("limits.name_bytes", limits.name_bytes_max, 1..=NAME_BYTES_MAX)?;
        within(
            "limits.streams_per_subscriber",
            limits.subscriptions_max,
            1..=100_000,
        )?;
        within("hub.ring_entries", self.hub.ring_entries_max, 1..=10_000_000)?;
        within("hub.streams", self.hub.streams_max, 1..=100_000_000)?;
        within("memory.bytes", self.memory.bytes_max, mib..=usize::MAX)?;
        within("tail.outbox_bytes", self.tail.outbox_bytes_max, kib..=64 * mib)?;
        within(
            "ws.publishes_in_flight",
            self.ws.publishes_in_flight_max,
            1..=100_000,
        )?;
        within("ws.frames_per_second", self.ws.frames_per_second, 1..=u32::MAX)?;
        lasts("limits.header_timeout", limits.header_timeout, 100 * ms..=day)?;
        lasts("limits.body_timeout", limits.body_timeout, 100 * ms..=day)?;
        lasts("limits.peer_timeout", limits.peer_timeout, second..=day)?;
        lasts("limits.wait", limits.wait_max, Duration::ZERO..=day)?;
        lasts("publish.hold", self.publish.hold, Duration::ZERO..=day)?;
        lasts(
            "publish.idempotency_window",
            self.publish.idempotency_window,
            second..=365 * day,
        )?;
        lasts("tail.heartbeat", self.tail.heartbeat, 100 * ms..=day)?;
        lasts("tail.retry", self.tail.retry, Duration::ZERO..=day)?;
        lasts("ws.ping_interval", self.ws.ping_interval, 100 * ms..=day)?;
        lasts("ws.pong_timeout", self.ws.pong_timeout, 100 * ms..=day)?;
        lasts("ws.write_timeout", self.ws.write_timeout, 100 * ms..=day)?;
        lasts("drain.deadline", self.drain.deadline, Duration::ZERO..=day)?;
        self.validate_socketio()
    }

    fn validate_socketio(&self) -> Result<(), ConfigError> {
        let (second, day) = (Duration::from_secs(1), Duration::from_secs(24 * 3600));
        let (ms, settings) = (Duration::from_millis(1), &self.socketio);
        let path = &settings.path;
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'-' | b'_' | b'~');
        let slashes = path.len() > 1 && path.starts_with('/') && path.ends_with('/') && !path.contains("//");
        if !slashes || !path.bytes().all(plain) {
            return Err(ConfigError(format!(
                "socketio.path: {path:?} is no path: expected such as /socket.io/, of letters, digits and . - _ ~"
            )));
        }
        if ["/v1/", "/healthz/", "/readyz/", "/metrics/"]
            .iter()
            .any(|taken| path.starts_with(taken))
        {
            return Err(ConfigError(format!(
                "socketio.path: {path:?} is used for something else"
            )));
        }
        lasts("socketio.ping_interval", settings.ping_interval, 100 * ms..=day)?;
        lasts("socketio.ping_timeout", settings.ping_timeout, 100 * ms..=day)?;
        lasts(
            "socketio.connect_timeout",
            settings.connect_timeout,
            100 * ms..=day,
        )?;
        lasts(
            "socketio.upgrade_timeout",
            settings.upgrade_timeout,
            100 * ms..=day,
        )?;
        lasts("socketio.write_timeout", settings.write_timeout, 100 * ms..=day)?;
        lasts("socketio.session_ttl", settings.session_ttl, second..=7 * day)?;
        within(
            "socketio.max_payload",
            settings.payload_bytes_max,
            1_000..=64 << 20,
        )?;
        within(
            "socketio.publishes_in_flight",
            settings.publishes_in_flight_max,
            1..=100_000,
        )?;
        Namespaces::compile(settings).map_err(ConfigError)?;
        if let Some(address) = &self.cluster.advertise
            && !is_host_and_port(address)
        {
            return Err(ConfigError(format!(
                "cluster.advertise: {address:?} is not an address: expected host:port"
            )));
        }
        self.cluster.read_secret().map(|_| ()).map_err(ConfigError)
    }
}

/// It need not be resolved here: only others are going to use it.
fn is_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host_is_one = match bracketed {
        Some(host) => host.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(plain),
    };
    host_is_one && port.parse::<u16>().is_ok_and(|port| port > 0)
}

fn within<T: PartialOrd + std::fmt::Display>(
    name: &str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<(), ConfigError> {
    if range.contains(&value) {
        return Ok(());
    }
    let (min, max) = range.into_inner();
    Err(ConfigError(format!(
        "{name}: {value} is out of range, expected {min} to {max}"
    )))
}

fn lasts(name: &str, value: Duration, range: RangeInclusive<Duration>) -> Result<(), ConfigError> {
    if range.contains(&value) {
        return Ok(());
    }
    let shown = |d: Duration| humantime::format_duration(d);
    let (min, max) = range.into_inner();
    Err(ConfigError(format!(
        "{name}: {} is out of range, expected {} to {}",
        shown(value),
        shown(min),
        shown(max)
    )))
}
