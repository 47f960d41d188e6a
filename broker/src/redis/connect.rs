//! Opens connections to Redis: socket settings, protocol, credentials, timeouts, and the check of what server it is.
//! Knows no command of the log.

use std::sync::Arc;
use std::time::Duration;

use deadpool_redis::{Manager, Pool, Runtime};
use redis::aio::{AsyncPushSender, MultiplexedConnection};
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo,
    ProtocolVersion, RedisError, RedisResult, Value,
};
use shared::limits::{
    CONNECT_TIMEOUT, READ_TIMEOUT, REDIS_KEEPALIVE_IDLE, REDIS_KEEPALIVE_INTERVAL, REDIS_UNACKNOWLEDGED_MAX,
};

use super::ConnectError;

/// The first major version that counts the entries ever added to a stream.
const SERVER_MAJOR_MIN: u32 = 7;

/// Knows how to reach one Redis server. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    client: Client,
}

/// What a connection is opened for.
pub(super) struct Purpose {
    /// How long a command waits for its answer; `None` if the caller sees to it.
    pub(super) response_timeout: Option<Duration>,
    /// Commands and pipelines that the connection takes in before callers wait.
    pub(super) queued_max: usize,
    /// Takes what the server sends unasked, and the notice that the connection is lost. It must not block.
    pub(super) pushes: Option<Arc<dyn AsyncPushSender>>,
}

impl Default for Purpose {
    /// Single commands that are answered at once.
    fn default() -> Self {
        Self {
            response_timeout: Some(READ_TIMEOUT),
            queued_max: 64,
            pushes: None,
        }
    }
}

impl Connector {
    /// Takes a URL as [`super::RedisConfig::url`] describes it. Connects to nothing yet.
    pub(super) fn new(url: &str) -> Result<Self, ConnectError> {
        let refused = |why: &str| ConnectError(format!("the Redis URL cannot be used: {why}"));
        if ["rediss:", "valkeys:"]
            .iter()
            .any(|scheme| url.starts_with(scheme))
        {
            // Fails only if the process has chosen one already.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let info = url.into_connection_info().map_err(|_| {
            refused("expected redis://[user:password@]host[:port][/db], rediss://… or unix:///path")
        })?;
        let settings = info.redis_settings().clone();
        let settings = settings
            .set_protocol(ProtocolVersion::RESP3)
            .set_lib_name("weir", env!("CARGO_PKG_VERSION"));
        let info = info.set_redis_settings(settings).set_tcp_settings(tcp_settings());
        let client = Client::open(info).map_err(|e| refused(&e.to_string()))?;
        Ok(Self { client })
    }

    /// Where the server is, and how to introduce oneself.
    pub(super) fn connection_info(&self) -> &ConnectionInfo {
        self.client.get_connection_info()
    }

    /// Opens a connection. Takes [`CONNECT_TIMEOUT`] at the most, whatever the server does.
    pub(super) async fn open(&self, purpose: &Purpose) -> RedisResult<MultiplexedConnection> {
        let mut config = config(purpose.response_timeout).set_pipeline_buffer_size(purpose.queued_max);
        if let Some(pushes) = &purpose.pushes {
            config = config.set_push_sender(Arc::clone(pushes));
        }
        self.client
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }

    /// A connection for what is asked now and then, opened when it is first needed, and tried before each use.
    pub(super) fn pool(&self) -> Result<Pool, ConnectError> {
        let unusable =
            |error: String| ConnectError(format!("the Redis connections cannot be set up: {error}"));
        let manager = Manager::new_with_config(self.connection_info().clone(), config(Some(READ_TIMEOUT)))
            .map_err(|e| unusable(e.to_string()))?;
        let pool = Pool::builder(manager).max_size(1).runtime(Runtime::Tokio1);
        pool.wait_timeout(Some(READ_TIMEOUT))
            .create_timeout(Some(CONNECT_TIMEOUT))
            .recycle_timeout(Some(CONNECT_TIMEOUT))
            .build()
            .map_err(|e| unusable(e.to_string()))
    }

    /// Opens a connection and checks that the server is one that Weir works with.
    pub(super) async fn check_server(&self) -> Result<(), ConnectError> {
        let mut connection = self
            .open(&Purpose::default())
            .await
            .map_err(|e| self.explain(&e))?;
        let hello = redis::cmd("HELLO")
            .query_async(&mut connection)
            .await
            .map_err(|e| self.explain(&e))?;
        check_hello(hello)
    }

    /// An error of the first connection, for the operator. Holds the address but never the credentials.
    fn explain(&self, error: &RedisError) -> ConnectError {
        let at = match self.connection_info().addr() {
            ConnectionAddr::Unix(path) => path.display().to_string(),
            address => address.to_string(),
        };
        let why = match error.kind() {
            ErrorKind::AuthenticationFailed => "it refuses the user or password".to_owned(),
            ErrorKind::RESP3NotSupported => too_old("before 6"),
            _ if error.is_timeout() => format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()),
            _ => match error.code() {
                Some("NOAUTH" | "WRONGPASS") => "it refuses the user or password".to_owned(),
                Some("LOADING") => "it is loading its data; try again in a moment".to_owned(),
                _ if matches!(error.kind(), ErrorKind::Parse) => "what answers there is no Redis".to_owned(),
                _ => one_line(&error.to_string()),
            },
        };
        ConnectError(format!("cannot use Redis at {at}: {why}"))
    }
}

/// The start of a text as one line: what answered may be anything.
fn one_line(text: &str) -> String {
    const CHARACTERS_MAX: usize = 200;
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(CHARACTERS_MAX).collect()
}

/// The settings that a connection gets, from whoever opens it.
fn config(response_timeout: Option<Duration>) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(response_timeout)
}

/// Small packets leave at once, and a peer that vanished without a word is noticed.
fn tcp_settings() -> TcpSettings {
    TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(keepalive())
        .set_user_timeout(REDIS_UNACKNOWLEDGED_MAX)
}

/// When an idle connection is tried.
pub(super) fn keepalive() -> TcpKeepalive {
    TcpKeepalive::new()
        .with_time(REDIS_KEEPALIVE_IDLE)
        .with_interval(REDIS_KEEPALIVE_INTERVAL)
}

/// `HELLO` tells what the server is without any permission but to connect.
fn check_hello(reply: Value) -> Result<(), ConnectError> {
    let field = |wanted: &str| match &reply {
        Value::Map(pairs) => pairs.iter().find_map(|(name, value)| match (name, value) {
            (Value::BulkString(name), Value::BulkString(value)) if name == wanted.as_bytes() => {
                Some(String::from_utf8_lossy(value).into_owned())
            }
            _ => None,
        }),
        _ => None,
    };
    let version = field("version").unwrap_or_default();
    let major = version
        .split('.')
        .next()
        .and_then(|major| major.parse::<u32>().ok());
    match major {
        None => return Err(ConnectError("the server does not say its version".into())),
        Some(major) if major < SERVER_MAJOR_MIN => return Err(ConnectError(too_old(&version))),
        Some(_) => {}
    }
    match field("mode").as_deref() {
        Some("cluster") => Err(ConnectError(
            "the server is a node of a Redis Cluster; use a standalone server".into(),
        )),
        Some("sentinel") => Err(ConnectError(
            "the server is a Redis Sentinel; use the Redis server itself".into(),
        )),
        _ => Ok(()),
    }
}

fn too_old(version: &str) -> String {
    format!("the server has version {version}; Redis 7.0 or newer, or Valkey, is needed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(version: &str, mode: &str) -> Value {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        Value::Map(vec![
            (text("server"), text("redis")),
            (text("version"), text(version)),
            (text("proto"), Value::Int(3)),
            (text("mode"), text(mode)),
        ])
    }

    fn refusal(reply: Value) -> Option<String> {
        check_hello(reply).err().map(|e| e.to_string())
    }

    #[test]
    fn only_servers_that_count_entries_are_taken() {
        assert_eq!(refusal(hello("7.0.15", "standalone")), None);
        assert_eq!(refusal(hello("9.1.0", "standalone")), None);
        let old = refusal(hello("6.2.14", "standalone"));
        assert!(old.is_some_and(|text| text.contains("6.2.14") && text.contains("7.0")));
        assert!(refusal(hello("7.0.15", "cluster")).is_some());
        assert!(refusal(Value::Nil).is_some());
    }

    #[test]
    fn urls_that_cannot_be_used_are_explained_without_secrets() {
        for url in [
            "rediss://:secret@h/x",
            "http://u:secret@h",
            "redis://:secret@h/x",
            "",
        ] {
            let error = Connector::new(url).err().map(|e| e.to_string());
            assert!(
                error.is_some_and(|e| !e.contains("secret") && !e.contains('\n')),
                "{url}"
            );
        }
    }
}
