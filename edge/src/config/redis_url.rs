//! Where Redis is, without telling anybody its password.

use std::fmt;
use std::str::FromStr;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Where a Redis listens of which no port is named.
const REDIS_PORT: u16 = 6379;
/// Where a Sentinel listens of which no port is named.
const SENTINEL_PORT: u16 = 26379;

/// `redis://[user:password@]host:port/db`, `rediss://…`, `unix:///path`, `redis-sentinel://host,host/master`,
/// `redis-cluster://host,host`, and the last two with `rediss`. Prints without passwords. What stands in it is for
/// the broker to check.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(String);

impl RedisUrl {
    /// The whole URL, for the one who connects.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// `host:port` of a Redis that is reached over the network: the first that is named, be it a Sentinel.
    pub fn host_and_port(&self) -> Option<String> {
        let (scheme, rest) = self.0.split_once("://")?;
        if scheme.ends_with("unix") {
            return None;
        }
        let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
        let host = place.split(['/', '?', ',']).next().unwrap_or_default();
        let port = match scheme.ends_with("-sentinel") {
            true => SENTINEL_PORT,
            false => REDIS_PORT,
        };
        // The colons of an IPv6 address stand in brackets.
        match host.rsplit_once(':') {
            Some((_, port)) if !port.contains(']') => Some(host.to_owned()),
            _ => Some(format!("{host}:{port}")),
        }
    }

    /// The same with a password; `None` if it has one.
    pub(super) fn with_password(&self, password: &str) -> Option<Self> {
        let (scheme, rest) = self.0.split_once("://")?;
        let password = utf8_percent_encode(password, NON_ALPHANUMERIC);
        if scheme.ends_with("unix") {
            let (_, query) = rest.split_once('?').unwrap_or((rest, ""));
            if query.split('&').any(|part| part.starts_with("pass=")) {
                return None;
            }
            let joint = if rest.contains('?') { '&' } else { '?' };
            return Some(Self(format!("{}{joint}pass={password}", self.0)));
        }
        let (credentials, place) = rest.rsplit_once('@').unwrap_or(("", rest));
        match credentials.split_once(':').unwrap_or((credentials, "")) {
            (user, "") => Some(Self(format!("{scheme}://{user}:{password}@{place}"))),
            _ => None,
        }
    }
}

impl serde::Serialize for RedisUrl {
    /// As it is printed: without the password.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for RedisUrl {
    type Err = RedisUrlError;
    fn from_str(text: &str) -> Result<Self, RedisUrlError> {
        let known = [
            "redis://",
            "rediss://",
            "unix://",
            "redis+unix://",
            "redis-sentinel://",
            "rediss-sentinel://",
            "redis-cluster://",
            "rediss-cluster://",
        ];
        match known
            .iter()
            .any(|scheme| text.len() > scheme.len() && text.starts_with(scheme))
        {
            true => Ok(Self(text.to_owned())),
            false => Err(RedisUrlError),
        }
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("redis", ""));
        // A password may hold anything, even an `@`; there may be one among the parameters too.
        let (credentials, place) = rest.rsplit_once('@').unwrap_or(("", rest));
        let place = place.split('?').next().unwrap_or_default();
        let user = credentials.split(':').next().unwrap_or_default();
        match credentials {
            // That `@` stands among parameters: what is before it and behind it may be a part of a password.
            _ if credentials.contains('?') => write!(f, "{scheme}://***"),
            "" => write!(f, "{scheme}://{place}"),
            _ => write!(f, "{scheme}://{user}:***@{place}"),
        }
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> serde::Deserialize<'de> for RedisUrl {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The text is not the URL of a Redis. It is not repeated: it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not the URL of a Redis: expected redis://host:port, rediss://host:port, unix:///path, \
     redis-sentinel://host:port/master or redis-cluster://host:port"
)]
pub struct RedisUrlError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_told_from_all_that_is_around_it() {
        for (url, place) in [
            ("redis://127.0.0.1:6380/2", Some("127.0.0.1:6380")),
            ("rediss://app:se@c:ret@host", Some("host:6379")),
            ("redis://[::1]/0?protocol=resp3", Some("[::1]:6379")),
            ("redis://[::1]:7000", Some("[::1]:7000")),
            ("unix:///run/redis.sock", None),
            (
                "redis-sentinel://u:p@a,b:7/m?sentinel_password=x",
                Some("a:26379"),
            ),
            ("rediss-cluster://[::1],b", Some("[::1]:6379")),
        ] {
            let parsed: Option<RedisUrl> = url.parse().ok();
            let found = parsed.and_then(|url| url.host_and_port());
            assert_eq!(found.as_deref(), place, "{url}");
        }
    }

    #[test]
    fn a_password_goes_where_there_is_none() {
        for (url, whole) in [
            ("redis://host:6379/2", Some("redis://:p%40%3A%2F@host:6379/2")),
            ("rediss://app@host", Some("rediss://app:p%40%3A%2F@host")),
            ("redis://app:@host", Some("redis://app:p%40%3A%2F@host")),
            ("redis://app:other@host", None),
            (
                "unix:///run/redis.sock",
                Some("unix:///run/redis.sock?pass=p%40%3A%2F"),
            ),
            (
                "unix:///run/redis.sock?db=1",
                Some("unix:///run/redis.sock?db=1&pass=p%40%3A%2F"),
            ),
            ("unix:///run/redis.sock?db=1&pass=other", None),
            (
                "redis-sentinel://app@a,b/m?sentinel_password=x",
                Some("redis-sentinel://app:p%40%3A%2F@a,b/m?sentinel_password=x"),
            ),
            ("redis-cluster://a,b", Some("redis-cluster://:p%40%3A%2F@a,b")),
            ("redis-cluster://:other@a,b", None),
        ] {
            let url: RedisUrl = url.parse().unwrap_or_else(|e| panic!("{url}: {e}"));
            let found = url.with_password("p@:/");
            assert_eq!(found.as_ref().map(RedisUrl::expose), whole);
            assert!(found.is_none_or(|found| !found.to_string().contains("p%40")));
        }
    }

    #[test]
    fn passwords_are_not_printed() {
        for (url, shown) in [
            ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379"),
            ("redis://:secret@host:6379/2", "redis://:***@host:6379/2"),
            ("rediss://app:se@c:ret@host", "rediss://app:***@host"),
            ("unix:///run/redis.sock?pass=secret", "unix:///run/redis.sock"),
            (
                "redis-sentinel://app:secret@a,b:7/m/2?sentinel_user=s&sentinel_password=secret",
                "redis-sentinel://app:***@a,b:7/m/2",
            ),
            (
                "redis-sentinel://a/m?sentinel_password=sec@ret",
                "redis-sentinel://***",
            ),
            ("rediss-cluster://:secret@a,b:7", "rediss-cluster://:***@a,b:7"),
        ] {
            let parsed: Option<RedisUrl> = url.parse().ok();
            assert_eq!(parsed.map(|url| url.to_string()).as_deref(), Some(shown));
        }
        assert!("localhost:6379".parse::<RedisUrl>().is_err());
        assert!("http://localhost:6379".parse::<RedisUrl>().is_err());
        assert!("redis://".parse::<RedisUrl>().is_err());
    }
}
