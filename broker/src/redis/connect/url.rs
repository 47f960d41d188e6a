//! URLs of Redis: one server, the Sentinels that know a master, or nodes of a cluster. Connects to nothing.

use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use redis::{ConnectionAddr, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo};

/// Where a Redis server listens of which no port is named.
const REDIS_PORT: u16 = 6379;
/// Where a Sentinel listens of which no port is named.
const SENTINEL_PORT: u16 = 26379;
/// Servers that one URL may name.
const NODES_MAX: usize = 64;

/// A server that is reached over the network.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::redis) struct Node {
    /// A name or an address; one of IPv6 stands without brackets.
    pub(in crate::redis) host: String,
    /// Its port.
    pub(in crate::redis) port: u16,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Where one server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::redis) enum Place {
    /// On the network.
    Tcp(Node),
    /// A Unix socket of this machine.
    Unix(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(node) => node.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// What a URL says.
pub(super) struct RedisUrl {
    pub(super) names: Names,
    /// Whether everything is asked over TLS.
    pub(super) tls: bool,
    /// Database, user and password.
    pub(super) settings: RedisConnectionInfo,
}

/// What a URL names.
pub(super) enum Names {
    Server(Place),
    Sentinels {
        nodes: Vec<Node>,
        master: String,
        /// User and password of the Sentinels themselves.
        settings: RedisConnectionInfo,
    },
    Cluster(Vec<Node>),
}

impl RedisUrl {
    /// Takes a URL as [`crate::RedisConfig::url`] describes it. The error is one line without secrets.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or_else(unknown)?;
        if rest.contains('#') {
            return Err(
                "what stands behind # is of no use; with TLS, redis.tls_ca_file names whom to trust".into(),
            );
        }
        match scheme {
            "redis" | "rediss" | "valkey" | "valkeys" => {
                let (place, settings) = one(&format!("redis://{rest}"))?;
                let tls = scheme.ends_with('s') && scheme != "redis";
                Ok(Self {
                    names: Names::Server(place),
                    tls,
                    settings,
                })
            }
            "unix" | "redis+unix" => {
                let (place, settings) = one(url)?;
                Ok(Self {
                    names: Names::Server(place),
                    tls: false,
                    settings,
                })
            }
            "redis-sentinel" | "rediss-sentinel" => Self::sentinel(rest, scheme.starts_with("rediss")),
            "redis-cluster" | "rediss-cluster" => Self::cluster(rest, scheme.starts_with("rediss")),
            _ => Err(unknown()),
        }
    }

    fn sentinel(rest: &str, tls: bool) -> Result<Self, String> {
        const FORM: &str =
            "expected redis-sentinel://[user:password@]HOST[:26379][,HOST[:PORT]…]/MASTER[/DB]";
        let parts = Parts::of(rest);
        let (master, database) = parts.path.split_once('/').unwrap_or((parts.path, ""));
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if master.is_empty() || !master.chars().all(plain) {
            return Err(format!("it names no master that Sentinels can know; {FORM}"));
        }
        let nodes = nodes(parts.hosts, SENTINEL_PORT).map_err(|why| format!("{why}; {FORM}"))?;
        let mut settings = RedisConnectionInfo::default();
        for (name, value) in parts.parameters() {
            let value = percent_decode_str(value).decode_utf8();
            let value = value.map_err(|_| format!("{name} is not UTF-8"))?;
            settings = match name {
                "sentinel_user" => settings.set_username(value),
                "sentinel_password" => settings.set_password(value),
                _ => return Err("of parameters it may have sentinel_user and sentinel_password".into()),
            };
        }
        if settings.username().is_some() && settings.password().is_none() {
            return Err("it has a sentinel_user without sentinel_password".into());
        }
        let names = Names::Sentinels {
            nodes,
            master: master.to_owned(),
            settings,
        };
        Ok(Self {
            names,
            tls,
            settings: parts.credentials(database)?,
        })
    }

    fn cluster(rest: &str, tls: bool) -> Result<Self, String> {
        const FORM: &str = "expected redis-cluster://[user:password@]HOST[:6379][,HOST[:PORT]…]";
        let parts = Parts::of(rest);
        if parts.parameters().next().is_some() {
            return Err(format!("it has parameters; {FORM}"));
        }
        if !matches!(parts.path, "" | "0") {
            return Err("a Redis Cluster has one database alone, so that no other can be named".into());
        }
        let nodes = nodes(parts.hosts, REDIS_PORT).map_err(|why| format!("{why}; {FORM}"))?;
        Ok(Self {
            names: Names::Cluster(nodes),
            tls,
            settings: parts.credentials("")?,
        })
    }
}

fn unknown() -> String {
    "expected redis://[user:password@]host[:port][/db], rediss://…, unix:///path, redis-sentinel://… or redis-cluster://…"
        .into()
}

/// Reads what names one server.
fn one(url: &str) -> Result<(Place, RedisConnectionInfo), String> {
    let info = url.into_connection_info().map_err(|_| unknown())?;
    let place = match info.addr() {
        ConnectionAddr::Tcp(host, port) => Place::Tcp(Node {
            host: host.clone(),
            port: *port,
        }),
        ConnectionAddr::Unix(path) => Place::Unix(path.clone()),
        _ => return Err(unknown()),
    };
    Ok((place, info.redis_settings().clone()))
}

/// What stands behind `://` of a URL with several hosts.
struct Parts<'u> {
    credentials: &'u str,
    hosts: &'u str,
    path: &'u str,
    query: &'u str,
}

impl<'u> Parts<'u> {
    fn of(rest: &'u str) -> Self {
        // A password may hold anything, even an `@`.
        let (credentials, rest) = rest.rsplit_once('@').unwrap_or(("", rest));
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        Self {
            credentials,
            hosts,
            path: path.trim_end_matches('/'),
            query,
        }
    }

    fn parameters(&self) -> impl Iterator<Item = (&'u str, &'u str)> {
        let parts = self.query.split('&').filter(|part| !part.is_empty());
        parts.map(|part| part.split_once('=').unwrap_or((part, "")))
    }

    fn credentials(&self, database: &str) -> Result<RedisConnectionInfo, String> {
        let joint = if self.credentials.is_empty() { "" } else { "@" };
        let url = format!("redis://{}{joint}host/{database}", self.credentials);
        let unusable =
            |_| "its user, password or database cannot be read; write what is no letter or digit in % form";
        Ok(one(&url).map_err(unusable)?.1)
    }
}

fn nodes(hosts: &str, default_port: u16) -> Result<Vec<Node>, &'static str> {
    let nodes: Result<Vec<Node>, _> = hosts.split(',').map(|host| node(host, default_port)).collect();
    let nodes = nodes?;
    match nodes.len() > NODES_MAX {
        true => Err("it names too many hosts"),
        false => Ok(nodes),
    }
}

fn node(text: &str, default_port: u16) -> Result<Node, &'static str> {
    // The colons of an IPv6 address stand in brackets.
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let host_is_one = match bracketed {
        Some(host) => host.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(plain),
    };
    if !host_is_one {
        return Err("it names a host that cannot be one");
    }
    let port = match port.map(str::parse) {
        None => default_port,
        Some(Ok(port)) if port > 0 => port,
        Some(_) => return Err("it names a port that cannot be one"),
    };
    Ok(Node {
        host: bracketed.unwrap_or(host).to_owned(),
        port,
    })
}

/// With the protocol and the name that all our connections have.
pub(super) fn introduced(settings: RedisConnectionInfo) -> RedisConnectionInfo {
    settings
        .set_protocol(ProtocolVersion::RESP3)
        .set_lib_name("weir", env!("CARGO_PKG_VERSION"))
}
