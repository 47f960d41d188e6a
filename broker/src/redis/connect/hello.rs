//! What `HELLO` tells: which server it is, of which version, and whether it is a master. It needs no permission but to
//! connect.

use redis::Value;

use super::Deployment;
use crate::redis::ConnectError;

/// The first major version that counts the entries ever added to a stream.
const SERVER_MAJOR_MIN: u32 = 7;

/// Whether the server is one that Weir works with, and reached in the right way.
pub(super) fn check(reply: &Value, deployment: &Deployment, tls: bool) -> Result<(), ConnectError> {
    let version = field(reply, "version").unwrap_or_default();
    let major = version
        .split('.')
        .next()
        .and_then(|major| major.parse::<u32>().ok());
    match major {
        None => return Err(ConnectError("the server does not say its version".into())),
        Some(major) if major < SERVER_MAJOR_MIN => return Err(ConnectError(too_old(&version))),
        Some(_) => {}
    }
    let scheme = if tls { "rediss" } else { "redis" };
    let wrong = match (field(reply, "mode").as_deref(), deployment) {
        (Some("sentinel"), _) => {
            format!("the server is a Redis Sentinel; the URL must be {scheme}-sentinel://HOST:PORT/MASTER")
        }
        (Some("cluster"), Deployment::Single(_) | Deployment::Sentinel(_)) => {
            format!("the server is a node of a Redis Cluster; the URL must be {scheme}-cluster://HOST:PORT")
        }
        (Some("standalone"), Deployment::Cluster { .. }) => {
            format!("the server is no node of a Redis Cluster; the URL must be {scheme}://HOST:PORT")
        }
        _ => return Ok(()),
    };
    Err(ConnectError(wrong))
}

/// Whether the server takes writes, by its own word.
pub(super) fn is_master(reply: &Value) -> bool {
    field(reply, "role").is_some_and(|role| role == "master")
}

/// Words for a server that does not know what is needed.
pub(super) fn too_old(version: &str) -> String {
    format!("the server has version {version}; Redis 7.0 or newer, or Valkey, is needed")
}

/// What a map holds under a name.
pub(super) fn field(reply: &Value, wanted: &str) -> Option<String> {
    let Value::Map(pairs) = reply else { return None };
    pairs
        .iter()
        .find_map(|(name, value)| match (text(name), text(value)) {
            (Some(name), Some(value)) if name == wanted => Some(value),
            _ => None,
        })
}

/// A text of either kind.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::SimpleString(text) => Some(text.clone()),
        _ => None,
    }
}
