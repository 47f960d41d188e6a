//! A request of a client that polls, sent on to the edge that has its session. Bodies are passed on as they come.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use axum::response::Response;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use shared::limits::{CLUSTER_CONNECT_TIMEOUT, CLUSTER_IDLE_CONNECTIONS_MAX, CLUSTER_IDLE_TIMEOUT};

use super::Unanswered;
use super::signature::HEADER;

/// Headers that are about one connection and not about the request (RFC 9110, section 7.6.1).
const CONNECTION_HEADERS: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Connections to other edges.
pub(super) struct Client(Pool<HttpConnector, Body>);

impl Client {
    pub(super) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CLUSTER_CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            // Shorter than the other edge lets a connection idle.
            .pool_idle_timeout(CLUSTER_IDLE_TIMEOUT)
            .pool_max_idle_per_host(CLUSTER_IDLE_CONNECTIONS_MAX)
            .build(connector);
        Self(pool)
    }

    /// Has a request answered at `address`, within `timeout`.
    pub(super) async fn send(
        &self,
        address: &str,
        request: Request,
        signature: HeaderValue,
        timeout: Duration,
    ) -> Result<Response, Unanswered> {
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let uri = Uri::builder()
            .scheme("http")
            .authority(address)
            .path_and_query(path)
            .build()?;
        remove_connection_headers(&mut parts.headers);
        parts.headers.insert(HEADER, signature);
        let mut forwarded = Request::new(body);
        *forwarded.method_mut() = parts.method;
        *forwarded.uri_mut() = uri;
        *forwarded.headers_mut() = parts.headers;
        let answer = tokio::time::timeout(timeout, self.0.request(forwarded)).await;
        let mut response = answer.map_err(|_| Unanswered::Late)??.map(Body::new);
        remove_connection_headers(response.headers_mut());
        Ok(response)
    }
}

fn remove_connection_headers(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&CONNECTION_HEADERS) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_the_connection_is_not_passed_on() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Private"),
            ("x-private", "1"),
            ("transfer-encoding", "chunked"),
            ("content-type", "text/plain"),
            ("host", "edge.example"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        remove_connection_headers(&mut headers);
        let left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["content-type", "host"]);
    }
}
