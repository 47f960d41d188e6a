//! The opening handshake: from the headers of a request to what the answer must say (RFC 6455, section 4.2). Pure.
//! Whether the page that asks may do so has been checked before ([`crate::origins`]).

use axum::http::{HeaderMap, HeaderName, Method, Version, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::format::Format;
use crate::error::{ApiError, Code};

/// What both sides append to the key before they hash it (RFC 6455, section 1.3).
const ACCEPT_GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The only version there is (RFC 6455, section 4.1).
const VERSION: &str = "13";

/// What was agreed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Agreement {
    /// Value of `Sec-WebSocket-Accept`.
    pub(crate) accept: String,
    /// The encoding of the frames.
    pub(crate) format: Format,
    /// Whether the client named it, so that the answer must.
    pub(crate) named: bool,
}

/// Checks a request for a WebSocket.
pub(crate) fn agree(method: &Method, version: Version, headers: &HeaderMap) -> Result<Agreement, ApiError> {
    if method != Method::GET {
        let problem = format!("{method} is not possible here; a WebSocket is opened with GET");
        return Err(ApiError::new(Code::MethodNotAllowed, problem));
    }
    let upgrade = has_token(headers, &header::UPGRADE, "websocket");
    if version < Version::HTTP_11 || !upgrade || !has_token(headers, &header::CONNECTION, "upgrade") {
        let problem = "this is a WebSocket; ask with Connection: Upgrade and Upgrade: websocket";
        return Err(ApiError::new(Code::UpgradeRequired, problem));
    }
    if one(headers, &header::SEC_WEBSOCKET_VERSION)? != Some(VERSION) {
        let problem = "only version 13 of the WebSocket protocol is served";
        return Err(ApiError::new(Code::UpgradeRequired, problem));
    }
    let key = one(headers, &header::SEC_WEBSOCKET_KEY)?.unwrap_or_default();
    if BASE64.decode(key).map(|bytes| bytes.len()) != Ok(16) {
        return Err(bad_request("Sec-WebSocket-Key is not the base64 of 16 bytes"));
    }
    let (format, named) = choose_format(headers)?;
    Ok(Agreement {
        accept: accept_of(key),
        format,
        named,
    })
}

fn accept_of(key: &str) -> String {
    let mut hash = sha1_smol::Sha1::new();
    hash.update(key.as_bytes());
    hash.update(ACCEPT_GUID.as_bytes());
    BASE64.encode(hash.digest().bytes())
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

/// The value of a header that may stand once at the most.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ApiError> {
    let mut values = headers.get_all(name).iter();
    let value = values
        .next()
        .map(|value| value.to_str().unwrap_or_default().trim());
    match values.next() {
        Some(_) => Err(bad_request(format!("the header {name} is given twice"))),
        None => Ok(value),
    }
}

/// The elements of a comma-separated header, which may stand several times.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|other| other.eq_ignore_ascii_case(token))
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
    fn the_example_of_the_specification() {
        let agreement = agreed(&[]).unwrap();
        // RFC 6455, section 1.3.
        assert_eq!(agreement.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!((agreement.format, agreement.named), (Format::Json, false));
    }

    #[test]
    fn what_is_no_websocket_is_told_how_to_ask() {
        for change in [
            ("upgrade", "h2c"),
            ("connection", "keep-alive"),
            ("sec-websocket-version", "8"),
            ("sec-websocket-version", ""),
        ] {
            assert_eq!(agreed(&[change]), Err(Code::UpgradeRequired), "{change:?}");
        }
        for key in ["", "short", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZSE="] {
            assert_eq!(
                agreed(&[("sec-websocket-key", key)]),
                Err(Code::BadRequest),
                "{key}"
            );
        }
        let old = agree(&Method::GET, Version::HTTP_10, &headers(&[])).map_err(|e| e.code());
        assert_eq!(old, Err(Code::UpgradeRequired));
        let head = agree(&Method::HEAD, Version::HTTP_11, &headers(&[])).map_err(|e| e.code());
        assert_eq!(head, Err(Code::MethodNotAllowed));
        let mut twice = headers(&[]);
        twice.append(
            "sec-websocket-key",
            HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="),
        );
        let twice = agree(&Method::GET, Version::HTTP_11, &twice).map_err(|e| e.code());
        assert_eq!(twice, Err(Code::BadRequest));
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
