//! Why a request is refused, as Engine.IO clients expect it to be said.

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::answer;
use super::registry::NoPlace;

/// Why a request is refused. The numbers are those of the reference server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// No such transport, or not here.
    #[error("Transport unknown")]
    Transport,
    /// There is no such session, or no more.
    #[error("Session ID unknown")]
    Sid,
    /// A session begins with a GET.
    #[error("Bad handshake method")]
    Method,
    /// It does not fit the session, or is malformed.
    #[error("Bad request")]
    Request,
    /// The page, or who asks, may not.
    #[error("{0}")]
    Forbidden(Cow<'static, str>),
    /// Another version than 4 of the protocol.
    #[error("Unsupported protocol version")]
    Version,
    /// The payload is larger than it may be.
    #[error("Payload too large")]
    TooLarge,
    /// No session can begin here now.
    #[error(transparent)]
    NoPlace(#[from] NoPlace),
}

impl Refusal {
    fn code(&self) -> u8 {
        match self {
            Self::Transport => 0,
            Self::Sid => 1,
            Self::Method => 2,
            Self::Request | Self::TooLarge => 3,
            Self::Forbidden(_) | Self::NoPlace(_) => 4,
            Self::Version => 5,
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NoPlace(_) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The answer. A WebSocket that is refused gets the message as text.
    pub(crate) fn response(&self, upgrade: bool) -> Response {
        if upgrade {
            let mut response = answer::text(self.to_string());
            *response.status_mut() = StatusCode::BAD_REQUEST;
            return response;
        }
        let mut body = format!("{{\"code\":{},\"message\":", self.code()).into_bytes();
        shared::wire::push_json_string(&mut body, &self.to_string());
        body.push(b'}');
        let mut response = (self.status(), body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}
