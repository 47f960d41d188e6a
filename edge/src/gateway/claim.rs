//! What a client says of itself when it asks for a namespace: the session that it had, if it had one.

use shared::SessionId;

use super::arguments::text_field;

/// The session that a client wants back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Which.
    pub(crate) pid: SessionId,
    /// The last offset that the client has dealt with; none if it has dealt with none.
    pub(crate) offset: Option<String>,
}

/// Reads the claim in a client's `auth`: `None` if it makes none, an error if it is none that can be met.
///
/// The client library puts `pid` and `offset` there by itself, below what the page gives as `auth`.
pub(crate) fn claim(auth: Option<&[u8]>) -> Option<Result<Claim, NotAClaim>> {
    let auth = auth.and_then(|auth| std::str::from_utf8(auth).ok())?;
    let pid = match text_field(auth, "pid") {
        Ok(pid) => pid?.parse::<SessionId>().map_err(|_| NotAClaim),
        Err(_) => Err(NotAClaim),
    };
    let offset = text_field(auth, "offset").map_err(|_| NotAClaim);
    Some(pid.and_then(|pid| Ok(Claim { pid, offset: offset? })))
}

/// There is a claim, but no session it could be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotAClaim;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_claim_is_a_pid_and_perhaps_an_offset() {
        let pid = "AAAAAAAAAAAAAAAAAAAAAAAA";
        let of = |auth: &str| claim(Some(auth.as_bytes()));
        let with_pid = |rest: &str| of(&format!("{{\"pid\":\"{pid}\"{rest}}}"));
        let claimed = |offset: Option<&str>| {
            Some(Ok(Claim {
                pid: pid.parse().unwrap(),
                offset: offset.map(str::to_owned),
            }))
        };
        assert_eq!(with_pid(""), claimed(None));
        assert_eq!(with_pid(",\"offset\":null"), claimed(None));
        assert_eq!(
            with_pid(",\"offset\":\"k3Jx9aQw:\",\"token\":7"),
            claimed(Some("k3Jx9aQw:"))
        );
        assert_eq!(claim(None), None);
        assert_eq!(of("{}"), None);
        assert_eq!(of("{\"pid\":null,\"offset\":\"x\"}"), None);
        for wrong in ["{\"pid\":7}", "{\"pid\":\"short\"}", "{\"pid\":\"\"}"] {
            assert_eq!(of(wrong), Some(Err(NotAClaim)), "{wrong}");
        }
        assert_eq!(with_pid(",\"offset\":7"), Some(Err(NotAClaim)));
    }
}
