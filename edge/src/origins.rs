//! Which web pages may use this edge (their *origin*: scheme, host and port).
//!
//! A browser guards reads across origins by itself when it is told nothing (CORS), but neither WebSockets nor simple
//! writes. So a request that names an origin which is not allowed is refused here, whatever it asks for; requests
//! that name none (every program that is not a browser) are not concerned.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use shared::limits::CORS_MAX_AGE;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::error::{ApiError, Code};

/// The origins that are allowed.
#[derive(Debug, Clone)]
pub struct Origins {
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    /// `*`
    Any,
    /// `http://localhost:*`: with any port, or none.
    AnyPort(String),
    /// `https://app.example`
    Exact(String),
}

impl Origins {
    /// Reads patterns: `*`, an origin such as `https://app.example`, or one with any port: `http://localhost:*`.
    ///
    /// The error names the pattern that is none.
    pub fn parse(texts: &[String]) -> Result<Self, OriginError> {
        let patterns = texts.iter().map(|text| pattern(text)).collect::<Result<_, _>>()?;
        Ok(Self { patterns })
    }

    /// No page of another origin.
    pub fn none() -> Self {
        Self { patterns: Vec::new() }
    }

    /// Whether every page may use this edge.
    pub fn allows_any(&self) -> bool {
        self.patterns.contains(&Pattern::Any)
    }

    /// Whether a page of this origin may use this edge.
    pub fn allows(&self, origin: &HeaderValue) -> bool {
        let Ok(origin) = origin.to_str() else { return false };
        self.patterns.iter().any(|pattern| match pattern {
            Pattern::Any => true,
            Pattern::Exact(exact) => origin.eq_ignore_ascii_case(exact),
            Pattern::AnyPort(prefix) => origin
                .split_at_checked(prefix.len())
                .is_some_and(|(start, rest)| start.eq_ignore_ascii_case(prefix) && is_port(rest)),
        })
    }

    /// Refuses a request whose `Origin` is neither allowed nor that of this edge itself.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        match headers.get(header::ORIGIN) {
            Some(origin) if !same_origin(origin, headers) && !self.allows(origin) => {
                let message =
                    "pages of this origin may not use this edge; cors.allowed_origins lists those that may";
                Err(ApiError::new(Code::ForbiddenOrigin, message))
            }
            _ => Ok(()),
        }
    }

    /// Answers preflight requests, and tells browsers which pages may read the answers.
    pub fn layer(&self) -> CorsLayer {
        let origins = self.clone();
        let allow = match self.allows_any() {
            true => AllowOrigin::any(),
            false => AllowOrigin::predicate(move |origin, _| origins.allows(origin)),
        };
        CorsLayer::new()
            .allow_origin(allow)
            .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT])
            .allow_headers([
                header::ACCEPT,
                header::CONTENT_TYPE,
                header::CACHE_CONTROL,
                HeaderName::from_static("idempotency-key"),
                HeaderName::from_static("weir-durability"),
                HeaderName::from_static("last-event-id"),
                HeaderName::from_static("traceparent"),
            ])
            .expose_headers([
                header::RETRY_AFTER,
                HeaderName::from_static("traceparent"),
                HeaderName::from_static("weir-degraded"),
            ])
            .max_age(CORS_MAX_AGE)
    }
}

fn pattern(text: &str) -> Result<Pattern, OriginError> {
    if text == "*" {
        return Ok(Pattern::Any);
    }
    // What a page has that came from a file or a sandbox.
    if text == "null" {
        return Ok(Pattern::Exact(text.into()));
    }
    let error = || OriginError(text.into());
    let (scheme, rest) = text.split_once("://").ok_or_else(error)?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']' | b'_');
    let host = rest.strip_suffix(":*").unwrap_or(rest);
    if scheme.is_empty() || host.is_empty() || !scheme.bytes().all(plain) || !host.bytes().all(plain) {
        return Err(error());
    }
    Ok(match text.strip_suffix(":*") {
        Some(prefix) => Pattern::AnyPort(prefix.into()),
        None => Pattern::Exact(text.into()),
    })
}

/// Nothing, or `:` and digits.
fn is_port(text: &str) -> bool {
    match text.strip_prefix(':') {
        Some(port) => !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()),
        None => text.is_empty(),
    }
}

/// Whether the page came from this very edge.
fn same_origin(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    matches!((host, origin), (Some(host), Some((_, authority))) if host.eq_ignore_ascii_case(authority))
}

/// The text is not an origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an origin: expected *, https://app.example or http://localhost:*")]
pub struct OriginError(String);

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(patterns: &[&str], origin: &'static str) -> bool {
        let texts: Vec<String> = patterns.iter().map(|p| (*p).to_owned()).collect();
        Origins::parse(&texts).is_ok_and(|origins| origins.allows(&HeaderValue::from_static(origin)))
    }

    #[test]
    fn origins_match_whole() {
        assert!(allows(&["https://app.example"], "https://app.example"));
        assert!(!allows(&["https://app.example"], "https://app.example.evil.test"));
        assert!(!allows(&["https://app.example"], "http://app.example"));
        assert!(allows(&["http://localhost:*"], "http://localhost:3000"));
        assert!(allows(&["http://localhost:*"], "http://localhost"));
        assert!(!allows(
            &["http://localhost:*"],
            "http://localhost:3000.evil.test"
        ));
        assert!(!allows(&["http://localhost:*"], "http://localhost.evil.test"));
        assert!(allows(&["*"], "null"));
        assert!(!allows(&["http://localhost:*"], "null"));
        assert!(allows(&["null"], "null"));
        assert!(!allows(&[], "https://app.example"));
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for text in [
            "",
            "app.example",
            "https://",
            "https://app.example/path",
            "https://*.example",
            "://x",
        ] {
            assert!(Origins::parse(&[text.to_owned()]).is_err(), "{text}");
        }
    }

    #[test]
    fn a_page_of_this_edge_is_at_home() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("edge.example:7400"));
        headers.insert(
            header::ORIGIN,
            HeaderValue::from_static("https://edge.example:7400"),
        );
        let none = Origins::none();
        assert!(none.check(&headers).is_ok());
        headers.insert(header::ORIGIN, HeaderValue::from_static("https://other.example"));
        assert!(none.check(&headers).is_err());
        headers.remove(header::ORIGIN);
        assert!(none.check(&headers).is_ok());
    }
}
