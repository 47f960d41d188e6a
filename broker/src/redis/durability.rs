//! `WAIT` and `WAITAOF`: how Redis is asked whether what a connection has written is safe, and what it answers. Each
//! speaks of what its own connection has written before, so it goes behind an append on the same connection.

use std::time::Duration;

use redis::{Cmd, ServerError, Value, cmd};

use crate::Durability;

/// The command that waits until everything written over its connection is as safe as asked, or `longest` is over. It
/// blocks its connection, and no other. `None` if there is nothing to wait for.
pub(super) fn wait(durability: Durability, longest: Duration) -> Option<Cmd> {
    let ms = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX).max(1);
    Some(match durability {
        Durability::Primary => return None,
        Durability::Replicas(replicas) => cmd("WAIT").arg(replicas).arg(ms).take(),
        Durability::Fsync(replicas) => cmd("WAITAOF").arg(1).arg(replicas).arg(ms).take(),
    })
}

/// The same for nothing in particular: shows whether the server can do it at all, and returns at once.
pub(super) fn trial(durability: Durability) -> Option<Cmd> {
    Some(match durability {
        Durability::Primary => return None,
        Durability::Replicas(_) => cmd("WAIT").arg(0).arg(1).take(),
        Durability::Fsync(_) => cmd("WAITAOF").arg(1).arg(0).arg(1).take(),
    })
}

/// Why a server cannot do what [`trial`] asks for; `None` if it can, or that is not known.
pub(super) fn unsupported(reply: &Value) -> Option<&'static str> {
    let Value::ServerError(error) = reply else {
        return None;
    };
    let details = error.details().unwrap_or_default();
    if error.code() == "NOPERM" {
        Some("the Redis user lacks the permission for WAIT or WAITAOF")
    } else if details.starts_with("unknown command") {
        Some(
            "this Redis has no WAITAOF: \"fsync\" needs Redis 7.2 or newer, or Valkey; ask for \"replicas:N\"",
        )
    } else if details.contains("appendonly is disabled") {
        Some("this Redis keeps no append-only file: \"fsync\" needs its setting appendonly yes")
    } else {
        None
    }
}

/// Why what was written is not as safe as asked, by the answer to [`wait`]; `Ok` if it is.
pub(super) fn judge(durability: Durability, longest: Duration, reply: &Value) -> Result<(), String> {
    let short = |got: i64, wanted: u8, did: &str| {
        let ms = longest.as_millis();
        format!("{got} of {wanted} replicas {did} it within {ms} ms")
    };
    match (durability, reply) {
        (_, Value::ServerError(error)) => Err(explain(error)),
        (Durability::Primary, _) => Ok(()),
        (Durability::Replicas(wanted), Value::Int(got)) if *got < i64::from(wanted) => {
            Err(short(*got, wanted, "had"))
        }
        (Durability::Replicas(_), Value::Int(_)) => Ok(()),
        (Durability::Fsync(wanted), Value::Array(counts)) => match counts.as_slice() {
            [Value::Int(0), _] => Err(format!(
                "Redis had not synced it to its disk within {} ms",
                longest.as_millis()
            )),
            [Value::Int(_), Value::Int(got)] if *got < i64::from(wanted) => {
                Err(short(*got, wanted, "had synced"))
            }
            [Value::Int(_), Value::Int(_)] => Ok(()),
            _ => Err(UNEXPECTED.into()),
        },
        _ => Err(UNEXPECTED.into()),
    }
}

const UNEXPECTED: &str = "Redis answered with something unexpected";

fn explain(error: &ServerError) -> String {
    let why = unsupported(&Value::ServerError(error.clone()));
    why.map_or_else(
        // `UNBLOCKED`, or that it cannot be asked of a replica.
        || "the server stopped being the primary, or refused to wait".into(),
        str::to_owned,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_millis(250);

    fn reply(text: &str) -> Value {
        redis::parse_redis_value(text.as_bytes()).unwrap_or_default()
    }

    #[test]
    fn only_enough_is_enough() {
        let judge = |durability, text: &str| judge(durability, LONGEST, &reply(text));
        assert_eq!(judge(Durability::Replicas(1), ":1\r\n"), Ok(()));
        assert_eq!(judge(Durability::Replicas(1), ":3\r\n"), Ok(()));
        assert_eq!(judge(Durability::Fsync(0), "*2\r\n:1\r\n:0\r\n"), Ok(()));
        assert_eq!(judge(Durability::Fsync(1), "*2\r\n:1\r\n:1\r\n"), Ok(()));
        for (durability, text, why) in [
            (
                Durability::Replicas(2),
                ":1\r\n",
                "1 of 2 replicas had it within 250 ms",
            ),
            (Durability::Replicas(1), "+OK\r\n", "unexpected"),
            (
                Durability::Fsync(0),
                "*2\r\n:0\r\n:0\r\n",
                "not synced it to its disk",
            ),
            (
                Durability::Fsync(2),
                "*2\r\n:1\r\n:1\r\n",
                "1 of 2 replicas had synced it",
            ),
            (Durability::Fsync(0), ":1\r\n", "unexpected"),
            (
                Durability::Fsync(0),
                "-ERR unknown command 'WAITAOF', with args\r\n",
                "needs Redis 7.2",
            ),
            (
                Durability::Replicas(1),
                "-UNBLOCKED force unblock\r\n",
                "stopped being the primary",
            ),
        ] {
            let judged = judge(durability, text);
            assert!(
                judged.as_ref().is_err_and(|said| said.contains(why)),
                "{text}: {judged:?}"
            );
        }
    }

    #[test]
    fn what_a_server_cannot_do_is_known_from_a_trial() {
        for (text, why) in [
            (
                "-ERR unknown command 'WAITAOF', with args beginning with: '1'\r\n",
                Some("7.2"),
            ),
            (
                "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.\r\n",
                Some("appendonly yes"),
            ),
            (
                "-NOPERM this user has no permissions to run the 'wait' command\r\n",
                Some("permission"),
            ),
            ("-ERR WAIT cannot be used with replica instances.\r\n", None),
            (":0\r\n", None),
        ] {
            let found = unsupported(&reply(text));
            assert_eq!(found.is_some(), why.is_some(), "{text}");
            assert!(
                found.zip(why).is_none_or(|(found, why)| found.contains(why)),
                "{text}"
            );
        }
    }
}
