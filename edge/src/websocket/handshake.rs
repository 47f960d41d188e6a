//! The opening handshake: from the headers of a request to the answer (RFC 6455, section 4.2). Pure. Whether the page
//! that asks may do so is checked elsewhere ([`crate::origins`]), and subprotocols are the business of who has some.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// What both sides append to the key before they hash it (RFC 6455, section 1.3).
const ACCEPT_GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The only version there is (RFC 6455, section 4.1).
pub(crate) const VERSION: &str = "13";

/// Value of `Sec-WebSocket-Accept`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Accept(HeaderValue);

/// Why a request opens no WebSocket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// Another method than GET.
    #[error("{0} is not possible here; a WebSocket is opened with GET")]
    Method(Method),
    /// It does not ask for one.
    #[error("this is a WebSocket; ask with Connection: Upgrade and Upgrade: websocket")]
    NotAsked,
    /// It asks for another version of the protocol.
    #[error("only version 13 of the WebSocket protocol is served")]
    Version,
    /// A header stands twice.
    #[error("the header {0} is given twice")]
    Twice(HeaderName),
    /// The key is none.
    #[error("Sec-WebSocket-Key is not the base64 of 16 bytes")]
    Key,
}

/// Checks a request for a WebSocket.
pub(crate) fn accept(method: &Method, version: Version, headers: &HeaderMap) -> Result<Accept, Refusal> {
    if method != Method::GET {
        return Err(Refusal::Method(method.clone()));
    }
    if !is_asked_for(version, headers) {
        return Err(Refusal::NotAsked);
    }
    if one(headers, &header::SEC_WEBSOCKET_VERSION)? != Some(VERSION) {
        return Err(Refusal::Version);
    }
    let key = one(headers, &header::SEC_WEBSOCKET_KEY)?.unwrap_or_default();
    if BASE64.decode(key).map(|bytes| bytes.len()) != Ok(16) {
        return Err(Refusal::Key);
    }
    HeaderValue::try_from(accept_of(key))
        .map(Accept)
        .map_err(|_| Refusal::Key)
}

/// Whether a request asks for a WebSocket at all.
pub(crate) fn is_asked_for(version: Version, headers: &HeaderMap) -> bool {
    version >= Version::HTTP_11
        && has_token(headers, &header::UPGRADE, "websocket")
        && has_token(headers, &header::CONNECTION, "upgrade")
}

/// The answer that opens the WebSocket.
pub(crate) fn switching_protocols(accept: Accept) -> Response {
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept.0);
    response
}

/// The elements of a comma-separated header, which may stand several times.
pub(crate) fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

fn accept_of(key: &str) -> String {
    let mut hash = sha1_smol::Sha1::new();
    hash.update(key.as_bytes());
    hash.update(ACCEPT_GUID.as_bytes());
    BASE64.encode(hash.digest().bytes())
}

/// The value of a header that may stand once at the most.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let value = values
        .next()
        .map(|value| value.to_str().unwrap_or_default().trim());
    match values.next() {
        Some(_) => Err(Refusal::Twice(name.clone())),
        None => Ok(value),
    }
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|other| other.eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

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

    fn accepted(changes: &[(&'static str, &'static str)]) -> Result<Accept, Refusal> {
        accept(&Method::GET, Version::HTTP_11, &headers(changes))
    }

    #[test]
    fn the_example_of_the_specification() {
        // RFC 6455, section 1.3.
        let expected = HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(accepted(&[]), Ok(Accept(expected)));
    }

    #[test]
    fn what_is_no_websocket_is_refused_for_its_reason() {
        for change in [("upgrade", "h2c"), ("connection", "keep-alive")] {
            assert_eq!(accepted(&[change]), Err(Refusal::NotAsked), "{change:?}");
        }
        for version in ["8", ""] {
            assert_eq!(
                accepted(&[("sec-websocket-version", version)]),
                Err(Refusal::Version)
            );
        }
        for key in ["", "short", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZSE="] {
            assert_eq!(
                accepted(&[("sec-websocket-key", key)]),
                Err(Refusal::Key),
                "{key}"
            );
        }
        let old = accept(&Method::GET, Version::HTTP_10, &headers(&[]));
        assert_eq!(old, Err(Refusal::NotAsked));
        let head = accept(&Method::HEAD, Version::HTTP_11, &headers(&[]));
        assert_eq!(head, Err(Refusal::Method(Method::HEAD)));
        let mut twice = headers(&[]);
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        twice.append("sec-websocket-key", key);
        let twice = accept(&Method::GET, Version::HTTP_11, &twice);
        assert_eq!(twice, Err(Refusal::Twice(header::SEC_WEBSOCKET_KEY)));
    }
}
