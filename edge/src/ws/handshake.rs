//! The opening handshake: what a client and this edge agree on. Pure. Whether the page that asks may do so has been
//! checked before ([`crate::origins`]).

use axum::http::{HeaderMap, Method, Version, header};

use super::format::Format;
use crate::error::{ApiError, Code};
use crate::websocket::handshake::{self, Accept, Refusal, tokens};

/// What was agreed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Agreement {
    /// Value of `Sec-WebSocket-Accept`.
    pub(crate) accept: Accept,
    /// The encoding of the frames.
    pub(crate) format: Format,
    /// Whether the client named it, so that the answer must.
    pub(crate) named: bool,
}

/// Checks a request for a WebSocket.
pub(crate) fn agree(method: &Method, version: Version, headers: &HeaderMap) -> Result<Agreement, ApiError> {
    let accept = handshake::accept(method, version, headers).map_err(refused)?;
    let (format, named) = choose_format(headers)?;
    Ok(Agreement {
        accept,
        format,
        named,
    })
}

fn refused(refusal: Refusal) -> ApiError {
    let code = match &refusal {
        Refusal::Method(_) => Code::MethodNotAllowed,
        Refusal::NotAsked | Refusal::Version => Code::UpgradeRequired,
        Refusal::Twice(_) | Refusal::Key => Code::BadRequest,
    };
    ApiError::new(code, refusal.to_string())
}

/// The client's first choice among the formats there are. One that names none gets JSON.
fn choose_format(headers: &HeaderMap) -> Result<(Format, bool), ApiError> {
    let mut offered = tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL).peekable();
    if offered.peek().is_none() {
        return Ok((Format::Json, false));
    }
    match offered.find_map(Format::of_subprotocol) {
        Some(format) => Ok((format, true)),
        None => {
            let known = Format::ALL.map(Format::subprotocol).join(", ");
            Err(bad_request(format!(
                "none of the subprotocols is known here; known are {known}"
            )))
        }
    }
}

fn bad_request(problem: impl Into<String>) -> ApiError {
    ApiError::new(Code::BadRequest, problem)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use axum::http::HeaderValue;

    use super::*;

    fn headers(changes: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        let usual = [
            ("host", "edge.example:7400"),
            ("upgrade", "websocket"),
            ("connection", "keep-alive, Upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        for (name, value) in usual {
            map.insert(name, HeaderValue::from_static(value));
        }
        for (name, value) in changes {
            map.insert(*name, HeaderValue::from_static(value));
        }
        map
    }

    fn agreed(changes: &[(&'static str, &'static str)]) -> Result<Agreement, Code> {
        agree(&Method::GET, Version::HTTP_11, &headers(changes)).map_err(|e| e.code())
    }

    #[test]
    fn what_is_no_websocket_is_told_how_to_ask() {
        for (change, code) in [
            (("upgrade", "h2c"), Code::UpgradeRequired),
            (("sec-websocket-version", "8"), Code::UpgradeRequired),
            (("sec-websocket-key", "short"), Code::BadRequest),
        ] {
            assert_eq!(agreed(&[change]), Err(code), "{change:?}");
        }
        let head = agree(&Method::HEAD, Version::HTTP_11, &headers(&[])).map_err(|e| e.code());
        assert_eq!(head, Err(Code::MethodNotAllowed));
        let agreement = agreed(&[]).unwrap();
        assert_eq!((agreement.format, agreement.named), (Format::Json, false));
    }

    #[test]
    fn the_clients_first_known_subprotocol_is_taken() {
        let chosen = |offer| agreed(&[("sec-websocket-protocol", offer)]).map(|a| (a.format, a.named));
        assert_eq!(chosen("weir.v1.msgpack"), Ok((Format::MessagePack, true)));
        assert_eq!(
            chosen("graphql-ws, weir.v1.json ,weir.v1.msgpack"),
            Ok((Format::Json, true))
        );
        assert_eq!(chosen("weir.v2.json, mqtt"), Err(Code::BadRequest));
        assert_eq!(chosen("WEIR.V1.JSON"), Err(Code::BadRequest));
        assert_eq!(chosen(" , "), Ok((Format::Json, false)));
    }
}
