//! What went wrong at Redis, as far as it matters to a caller. Server replies end here: users get fixed texts, the
//! details go to the log of the process.

use std::borrow::Cow;

use redis::{ErrorKind, RedisError, ServerError};
use tracing::debug;

use super::slot;
use crate::{AppendError, ReadError, SessionError, Unavailable};

/// Why nothing can be done for a key that is between two nodes.
pub(super) const CHANGING: &str = "the Redis Cluster is changing";

/// Where nothing better is known.
const UNEXPECTED: &str = "Redis answered with an unexpected error";

/// Everything an answer, or its absence, can mean to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// The connection could not be opened, was lost, or brought no answer in time. What was sent may have been done.
    Lost(&'static str),
    /// The server answers, but cannot do this at the moment. Nothing was done.
    NotNow(&'static str),
    /// The server has no memory left. Nothing was done.
    Full,
    /// The key holds something else than a stream.
    WrongType,
    /// `ERR no such key`.
    NoKey,
    /// The script must be sent in full. Nothing was done.
    NoScript,
    /// The server refused for good. Nothing was done.
    Refused(Cow<'static, str>),
    /// Another node of the Redis Cluster is to be asked. Nothing was done.
    Moved(Box<Redirect>),
    /// The keys are being moved to another node of the Redis Cluster, or nobody serves them at the moment. Nothing was
    /// done.
    TryAgain,
    /// The reply has a shape that it cannot have.
    Malformed,
}

/// Where a node of a Redis Cluster sends whoever asks for a key (Redis Cluster specification, "Redirection and resharding").
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Redirect {
    /// Only for this key, and while its slot is being moved (`ASK`); else for the whole slot (`MOVED`).
    pub(super) ask: bool,
    /// The slot.
    pub(super) slot: u16,
    /// The other node; empty if it has the host of the one that answered.
    pub(super) host: String,
    /// Its port.
    pub(super) port: u16,
}

impl Redirect {
    /// Reads `3999 127.0.0.1:6381`.
    fn parse(ask: bool, details: &str) -> Option<Self> {
        let (slot, address) = details.split_once(' ')?;
        let (host, port) = address.rsplit_once(':')?;
        Some(Self {
            ask,
            slot: slot.parse().ok().filter(|slot| *slot < slot::SLOTS)?,
            host: host.to_owned(),
            port: port.parse().ok()?,
        })
    }
}

impl Fault {
    /// The connection is gone.
    pub(super) const CONNECTION_LOST: Self = Self::Lost("the connection to Redis was lost");

    /// What an error of the client library means.
    pub(super) fn of(error: &RedisError) -> Self {
        if error.is_timeout() {
            return Self::Lost("Redis does not answer");
        }
        if error.is_connection_refusal() {
            return Self::Lost("no connection to Redis");
        }
        match error.kind() {
            ErrorKind::Io => Self::CONNECTION_LOST,
            ErrorKind::AuthenticationFailed => Self::NotNow("Redis refuses the user or password"),
            ErrorKind::Parse => Self::Malformed,
            // An aborted transaction carries the error of the command that could not be queued.
            _ => match error.clone().into_server_errors() {
                Some(errors) => errors
                    .first()
                    .map_or(Self::Malformed, |(_, error)| Self::of_server(error)),
                None => {
                    debug!(%error, "unexpected error of the Redis client");
                    Self::Malformed
                }
            },
        }
    }

    /// What an error reply means.
    pub(super) fn of_server(error: &ServerError) -> Self {
        Self::of_words(error.code(), error.details().unwrap_or_default())
    }

    fn of_words(code: &str, details: &str) -> Self {
        // A transaction that could be queued, and then not be carried out: the reason stands behind.
        if code == "EXECABORT"
            && let Some(reason) = details.strip_prefix("Transaction discarded because of: ")
        {
            let (code, details) = reason.split_once(' ').unwrap_or((reason, ""));
            return Self::of_words(code, details);
        }
        match code {
            "WRONGTYPE" => Self::WrongType,
            "NOSCRIPT" => Self::NoScript,
            "OOM" => Self::Full,
            "LOADING" => Self::NotNow("Redis is loading its data"),
            "READONLY" => Self::NotNow("this Redis is a read-only replica"),
            "MASTERDOWN" => Self::NotNow("this Redis has lost its master"),
            "MOVED" | "ASK" => match Redirect::parse(code == "ASK", details) {
                Some(redirect) => Self::Moved(Box::new(redirect)),
                None => Self::Malformed,
            },
            "TRYAGAIN" => Self::TryAgain,
            // The others are served.
            "CLUSTERDOWN" if details.starts_with("Hash slot not served") => Self::TryAgain,
            "CLUSTERDOWN" => Self::NotNow("the Redis Cluster is down"),
            "NOREPLICAS" => Self::NotNow("Redis has too few replicas"),
            "MISCONF" => Self::NotNow("Redis cannot write to its disk"),
            "BUSY" => Self::NotNow("Redis is busy with a script"),
            "NOAUTH" | "WRONGPASS" => Self::NotNow("Redis refuses the user or password"),
            "NOPERM" => Self::Refused(no_permission(details).into()),
            "ERR" if details.starts_with("no such key") => Self::NoKey,
            // How 7.0 words NOPERM for a command inside a script.
            "ERR" if details.starts_with("The user executing the script can't") => {
                Self::Refused(no_permission(details).into())
            }
            "ERR" if details.contains("exhausted the last possible ID") => {
                Self::Refused("the stream has used its last possible ID".into())
            }
            code => {
                debug!(code, details, "unexpected error reply of Redis");
                Self::Refused(UNEXPECTED.into())
            }
        }
    }

    /// As the error of an append that was not done; of one that may have been, if the answer was lost.
    pub(super) fn into_append_error(self) -> AppendError {
        match self {
            Self::Lost(_) | Self::Malformed => AppendError::Unconfirmed,
            Self::NotNow(why) => Unavailable(why.into()).into(),
            Self::Moved(_) | Self::TryAgain => Unavailable(CHANGING.into()).into(),
            Self::Full => AppendError::Full,
            Self::WrongType => AppendError::WrongType,
            Self::Refused(why) => AppendError::Refused(why.into()),
            Self::NoKey | Self::NoScript => AppendError::Refused(UNEXPECTED.into()),
        }
    }

    /// As the error of a read.
    pub(super) fn into_read_error(self) -> ReadError {
        match self {
            Self::Lost(why) | Self::NotNow(why) => Unavailable(why.into()).into(),
            Self::Moved(_) | Self::TryAgain => Unavailable(CHANGING.into()).into(),
            Self::WrongType => ReadError::WrongType,
            Self::Refused(why) => ReadError::Refused(why.into()),
            Self::Full => ReadError::Refused("Redis is out of memory".into()),
            Self::NoKey | Self::NoScript | Self::Malformed => {
                ReadError::Refused("Redis answered with something unexpected".into())
            }
        }
    }

    /// As the error of a call about a session.
    pub(super) fn into_session_error(self) -> SessionError {
        match self {
            Self::Lost(_) | Self::NotNow(_) | Self::Full | Self::Moved(_) | Self::TryAgain => {
                self.into_unavailable().into()
            }
            Self::WrongType => {
                SessionError::Refused("the key of this session holds another type of value".into())
            }
            Self::Refused(why) => SessionError::Refused(why.into()),
            Self::NoKey | Self::NoScript | Self::Malformed => {
                SessionError::Refused("Redis answered with something unexpected".into())
            }
        }
    }

    /// Where nothing but "not now" can be said.
    pub(super) fn into_unavailable(self) -> Unavailable {
        Unavailable(match self {
            Self::Lost(why) | Self::NotNow(why) => why.into(),
            Self::Refused(why) => why.into(),
            Self::Full => "Redis is out of memory".into(),
            Self::Moved(_) | Self::TryAgain => CHANGING.into(),
            Self::WrongType | Self::NoKey | Self::NoScript | Self::Malformed => {
                "Redis answered with something unexpected".into()
            }
        })
    }
}

/// Which permission the user lacks, by what the server says about it; the words differ from version to version.
fn no_permission(details: &str) -> String {
    let quoted = details
        .split('\'')
        .nth(1)
        .filter(|name| !name.is_empty() && name.bytes().all(is_of_command));
    let what = match quoted {
        Some(command) => format!("the permission for {command}"),
        None if details.contains("channel") => "the permission for this channel".into(),
        None if details.contains("key") => "the permission for this key".into(),
        // Inside a script some versions do not say which.
        None => "the permission for a command of a script".into(),
    };
    format!("the Redis user lacks {what}; see \"The Redis user\" in the configuration reference")
}

fn is_of_command(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'|' | b'-' | b'_')
}

impl From<&RedisError> for Fault {
    fn from(error: &RedisError) -> Self {
        Self::of(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirections_name_the_node_to_ask() {
        let redirect = |ask, host: &str| {
            Fault::Moved(Box::new(Redirect {
                ask,
                slot: 3_999,
                host: host.into(),
                port: 6_381,
            }))
        };
        for (code, details, fault) in [
            ("MOVED", "3999 127.0.0.1:6381", redirect(false, "127.0.0.1")),
            (
                "ASK",
                "3999 redis-2.example:6381",
                redirect(true, "redis-2.example"),
            ),
            ("MOVED", "3999 ::1:6381", redirect(false, "::1")),
            ("MOVED", "3999 :6381", redirect(false, "")),
            ("MOVED", "39999 127.0.0.1:6381", Fault::Malformed),
            ("MOVED", "3999 127.0.0.1:x", Fault::Malformed),
            ("MOVED", "", Fault::Malformed),
            ("CLUSTERDOWN", "Hash slot not served", Fault::TryAgain),
            (
                "CLUSTERDOWN",
                "The cluster is down",
                Fault::NotNow("the Redis Cluster is down"),
            ),
        ] {
            assert_eq!(Fault::of_words(code, details), fault, "{code} {details}");
        }
    }

    #[test]
    fn the_permission_that_is_missing_is_named() {
        for (code, details, named) in [
            (
                "NOPERM",
                "this user has no permissions to run the 'xadd' command",
                "for xadd;",
            ),
            (
                "NOPERM",
                "User weir has no permissions to run the 'client|tracking' command",
                "for client|tracking;",
            ),
            (
                "NOPERM",
                "this user has no permissions to access one of the keys used as arguments",
                "for this key;",
            ),
            (
                "NOPERM",
                "No permissions to access a channel",
                "for this channel;",
            ),
            (
                "ERR",
                "The user executing the script can't run this command or subcommand script: 5a, on @user_script:29.",
                "for a command of a script;",
            ),
            (
                "ERR",
                "The user executing the script can't access at least one of the keys mentioned in the command",
                "for this key;",
            ),
            (
                "NOPERM",
                "User '\u{1b}[31m' has no permissions",
                "for a command of a script;",
            ),
        ] {
            let fault = Fault::of_words(code, details);
            assert!(
                matches!(&fault, Fault::Refused(why) if why.contains(named)),
                "{details}: {fault:?}"
            );
        }
    }

    #[test]
    fn a_transaction_that_is_discarded_has_the_fault_that_discarded_it() {
        for (details, fault) in [
            (
                "Transaction discarded because of: OOM command not allowed when used memory > 'maxmemory'.",
                Fault::Full,
            ),
            (
                "Transaction discarded because of: READONLY You can't write against a read only replica.",
                Fault::NotNow("this Redis is a read-only replica"),
            ),
            (
                "Transaction discarded because of previous errors.",
                Fault::Refused(UNEXPECTED.into()),
            ),
        ] {
            assert_eq!(Fault::of_words("EXECABORT", details), fault, "{details}");
        }
    }
}
