//! Why a socket is closed: the codes that clients see, and whether they should come back.

/// Close codes. Append-only: a code that was published keeps its number and its meaning.
///
/// Below 4000 they are those of RFC 6455, section 7.4.1, and of the IANA registry it founded; from 4000 on they
/// are Weir's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum CloseCode {
    /// The client closed; this is the answer.
    Normal,
    /// The client broke the WebSocket protocol itself.
    ProtocolError,
    /// A binary frame on a JSON socket, or a text frame on a MessagePack socket.
    UnsupportedData,
    /// A text frame that is not UTF-8.
    InvalidData,
    /// The client sent too many frames in a row that could not be understood.
    Policy,
    /// A message above the size limit.
    TooBig,
    /// This edge is going away. Others serve the same streams.
    ServiceRestart,
    /// The client answered no ping.
    Silent,
    /// The client did not take what was sent to it.
    Stuck,
}

impl CloseCode {
    /// Every code.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 9] = [
        Self::Normal,
        Self::ProtocolError,
        Self::UnsupportedData,
        Self::InvalidData,
        Self::Policy,
        Self::TooBig,
        Self::ServiceRestart,
        Self::Silent,
        Self::Stuck,
    ];

    /// The number on the wire.
    pub(crate) const fn code(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::ProtocolError => 1002,
            Self::UnsupportedData => 1003,
            Self::InvalidData => 1007,
            Self::Policy => 1008,
            Self::TooBig => 1009,
            Self::ServiceRestart => 1012,
            Self::Silent => 4000,
            Self::Stuck => 4001,
        }
    }

    /// The reason on the wire: at most 123 bytes (RFC 6455, section 5.5).
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Normal => "",
            Self::ProtocolError => "this breaks the WebSocket protocol",
            Self::UnsupportedData => "wrong kind of frame for this subprotocol",
            Self::InvalidData => "text that is not UTF-8",
            Self::Policy => "too many frames that cannot be understood",
            Self::TooBig => "message too big",
            Self::ServiceRestart => "this edge is going away; reconnect and resume",
            Self::Silent => "no answer to pings; reconnect and resume",
            Self::Stuck => "frames were not taken; reconnect and resume",
        }
    }

    /// Whether a client should connect again by itself: yes where the same client, doing the same, can succeed.
    pub(crate) const fn retry(self) -> bool {
        matches!(self, Self::ServiceRestart | Self::Silent | Self::Stuck)
    }

    /// A short stable name for metrics and logs.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::ProtocolError => "protocol_error",
            Self::UnsupportedData => "unsupported_data",
            Self::InvalidData => "invalid_data",
            Self::Policy => "policy",
            Self::TooBig => "too_big",
            Self::ServiceRestart => "service_restart",
            Self::Silent => "silent",
            Self::Stuck => "stuck",
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::CloseCode;
    use crate::websocket;

    #[test]
    fn codes_are_unique_and_may_stand_on_the_wire() {
        let mut seen = std::collections::HashSet::new();
        for code in CloseCode::ALL {
            assert!(seen.insert(code.code()), "{code:?}");
            assert!(websocket::may_be_sent(code.code()), "{code:?}");
            assert!(code.reason().len() <= 123, "{code:?}");
        }
    }

    #[test]
    fn only_faults_that_are_not_the_clients_own_ask_it_to_come_back() {
        let retry: Vec<u16> = CloseCode::ALL
            .into_iter()
            .filter(|code| code.retry())
            .map(CloseCode::code)
            .collect();
        assert_eq!(retry, [1012, 4000, 4001]);
    }

    #[test]
    fn the_document_has_every_code_and_tells_who_may_come_back() {
        let document = include_str!("../../docs/websocket.md");
        for code in CloseCode::ALL {
            let row = format!("| {} |", code.code());
            let line = document.lines().find(|line| line.starts_with(&row)).unwrap();
            let advice = line.trim_end_matches([' ', '|']).rsplit('|').next().unwrap();
            assert_eq!(advice.trim().starts_with("yes"), code.retry(), "{line}");
        }
    }
}
