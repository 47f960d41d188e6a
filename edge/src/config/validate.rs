//! What can be wrong with a configuration that could be read. All of it is found, not only the first.

use std::fmt::Display;
use std::net::ToSocketAddrs as _;
use std::ops::RangeInclusive;
use std::time::Duration;

use broker::Durability;
use shared::limits::{APPEND_OUTAGE_WAIT_MAX, DURABILITY_TIMEOUT_MAX, NAME_BYTES_MAX};
use shared::telemetry;

use super::load::{ConfigError, ConfigErrors};
use super::{Config, LimitSettings, SocketIoSettings};
use crate::gateway::Namespaces;
use crate::origins::Origins;
use crate::spans;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);
const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

impl Config {
    /// Checks everything that can be wrong before a port opens.
    pub fn validate(&self) -> Result<(), ConfigErrors> {
        let mut checks = Checks::default();
        checks.that("listen", self.listen.to_socket_addrs().is_ok(), || {
            format!("{:?} is not an address: expected host:port", self.listen)
        });
        checks.ok("cors.allowed_origins", Origins::parse(&self.cors.allowed_origins));
        let level = &self.log.level;
        checks.that("log.level", !level.trim().is_empty(), || {
            "expected such as info, or info,broker=debug".into()
        });
        checks.ok("log.level", telemetry::check(level));
        checks.redis(self);
        checks.limits(&self.limits);
        checks.within("hub.ring_entries", self.hub.ring_entries_max, 1..=10_000_000);
        checks.lasts("hub.gather", self.hub.gather_max, Duration::ZERO..=SECOND);
        checks.within("hub.streams", self.hub.streams_max, 1..=100_000_000);
        checks.within("memory.bytes", self.memory.bytes_max, MIB..=usize::MAX);
        checks.publish(self);
        checks.lasts("publish.hold", self.publish.hold, Duration::ZERO..=DAY);
        let window = self.publish.idempotency_window;
        checks.lasts("publish.idempotency_window", window, SECOND..=365 * DAY);
        checks.tails(self);
        checks.lasts("drain.deadline", self.drain.deadline, Duration::ZERO..=DAY);
        checks.socketio(&self.socketio);
        if let Some(endpoint) = &self.otlp.endpoint {
            checks.otlp(endpoint);
        }
        checks.cluster(self);
        ConfigErrors::none_of(checks.errors)
    }
}

/// What was found to be wrong.
#[derive(Default)]
struct Checks {
    errors: Vec<ConfigError>,
}

impl Checks {
    fn redis(&mut self, config: &Config) {
        let redis = &config.redis;
        self.that(
            "redis.key_template",
            redis.key_template.matches("NAME").count() == 1,
            || "NAME must stand in it once, as in weir:{NAME}".into(),
        );
        self.within("redis.append_connections", redis.append_connections, 1..=64);
        self.within("redis.read_connections", redis.read_connections, 1..=64);
        match config.redis_config() {
            Ok(Some(redis)) => self.ok("redis", redis.check()),
            Ok(None) => {}
            Err(problem) => self.errors.push(ConfigError(problem)),
        }
    }

    fn limits(&mut self, limits: &LimitSettings) {
        self.within("limits.connections", limits.connections_max, 1..=10_000_000);
        self.within("limits.header_bytes", limits.header_bytes_max, KIB..=MIB);
        self.within("limits.event_bytes", limits.event_bytes_max, 1..=16 * MIB);
        self.within("limits.name_bytes", limits.name_bytes_max, 1..=NAME_BYTES_MAX);
        let streams = limits.subscriptions_max;
        self.within("limits.streams_per_subscriber", streams, 1..=100_000);
        self.lasts("limits.header_timeout", limits.header_timeout, 100 * MS..=DAY);
        self.lasts("limits.body_timeout", limits.body_timeout, 100 * MS..=DAY);
        self.lasts("limits.peer_timeout", limits.peer_timeout, SECOND..=DAY);
        self.lasts("limits.wait", limits.wait_max, Duration::ZERO..=DAY);
    }

    fn publish(&mut self, config: &Config) {
        let publish = &config.publish;
        let kept_by = config.redis.url.is_some() || publish.durability == Durability::Primary;
        self.that("publish.durability", kept_by, || {
            let durability = publish.durability;
            format!("{durability} needs redis.url: streams in memory have neither replicas nor a disk")
        });
        self.lasts(
            "publish.outage_wait",
            publish.outage_wait,
            Duration::ZERO..=APPEND_OUTAGE_WAIT_MAX,
        );
        self.lasts(
            "publish.durability_timeout",
            publish.durability_timeout,
            MS..=DURABILITY_TIMEOUT_MAX,
        );
    }

    fn tails(&mut self, config: &Config) {
        let (tail, ws) = (&config.tail, &config.ws);
        self.within("tail.outbox_bytes", tail.outbox_bytes_max, KIB..=64 * MIB);
        self.lasts("tail.heartbeat", tail.heartbeat, 100 * MS..=DAY);
        self.lasts("tail.retry", tail.retry, Duration::ZERO..=DAY);
        self.within("ws.publishes_in_flight", ws.publishes_in_flight_max, 1..=100_000);
        self.within("ws.frames_per_second", ws.frames_per_second, 1..=u32::MAX);
        self.lasts("ws.ping_interval", ws.ping_interval, 100 * MS..=DAY);
        self.lasts("ws.pong_timeout", ws.pong_timeout, 100 * MS..=DAY);
        self.lasts("ws.write_timeout", ws.write_timeout, 100 * MS..=DAY);
    }

    fn socketio(&mut self, settings: &SocketIoSettings) {
        let path = &settings.path;
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'-' | b'_' | b'~');
        let slashes = path.len() > 1 && path.starts_with('/') && path.ends_with('/') && !path.contains("//");
        let is_path = slashes && path.bytes().all(plain);
        self.that("socketio.path", is_path, || {
            format!("{path:?} is no path: expected such as /socket.io/, of letters, digits and . - _ ~")
        });
        let taken = ["/v1/", "/healthz/", "/readyz/", "/metrics/"];
        let free = !taken.iter().any(|taken| path.starts_with(taken));
        self.that("socketio.path", free, || {
            format!("{path:?} is used for something else")
        });
        self.lasts("socketio.ping_interval", settings.ping_interval, 100 * MS..=DAY);
        self.lasts("socketio.ping_timeout", settings.ping_timeout, 100 * MS..=DAY);
        self.lasts(
            "socketio.connect_timeout",
            settings.connect_timeout,
            100 * MS..=DAY,
        );
        self.lasts(
            "socketio.upgrade_timeout",
            settings.upgrade_timeout,
            100 * MS..=DAY,
        );
        self.lasts("socketio.write_timeout", settings.write_timeout, 100 * MS..=DAY);
        self.lasts("socketio.session_ttl", settings.session_ttl, SECOND..=7 * DAY);
        self.within(
            "socketio.max_payload",
            settings.payload_bytes_max,
            1_000..=64 * MIB,
        );
        let in_flight = settings.publishes_in_flight_max;
        self.within("socketio.publishes_in_flight", in_flight, 1..=100_000);
        if let Err(problem) = Namespaces::compile(settings) {
            self.errors.push(ConfigError(problem));
        }
    }

    fn otlp(&mut self, endpoint: &str) {
        let is_url = reqwest::Url::parse(endpoint).is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none()
        });
        // It is not repeated: what is wrong with it may be a password.
        self.that("otlp.endpoint", is_url, || {
            "expected the URL of a collector, such as http://127.0.0.1:4318, without user or password".into()
        });
        self.that("otlp.endpoint", spans::AVAILABLE, || {
            "this program was built without OTLP (the cargo feature `otlp`)".into()
        });
    }

    fn cluster(&mut self, config: &Config) {
        if let Some(address) = &config.cluster.advertise {
            self.that("cluster.advertise", is_host_and_port(address), || {
                format!("{address:?} is not an address: expected host:port")
            });
        }
        if let Err(problem) = config.cluster.read_secret() {
            self.errors.push(ConfigError(problem));
        }
    }

    fn that(&mut self, option: &str, holds: bool, problem: impl FnOnce() -> String) {
        if !holds {
            self.errors.push(ConfigError(format!("{option}: {}", problem())));
        }
    }

    fn ok<T>(&mut self, option: &str, outcome: Result<T, impl Display>) {
        if let Err(problem) = outcome {
            self.errors.push(ConfigError(format!("{option}: {problem}")));
        }
    }

    fn within<T: PartialOrd + Display>(&mut self, option: &str, value: T, range: RangeInclusive<T>) {
        self.that(option, range.contains(&value), || {
            let (min, max) = (range.start(), range.end());
            format!("{value} is out of range, expected {min} to {max}")
        });
    }

    fn lasts(&mut self, option: &str, value: Duration, range: RangeInclusive<Duration>) {
        let shown = |d: Duration| humantime::format_duration(d);
        self.that(option, range.contains(&value), || {
            let (min, max) = (shown(*range.start()), shown(*range.end()));
            format!("{} is out of range, expected {min} to {max}", shown(value))
        });
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
