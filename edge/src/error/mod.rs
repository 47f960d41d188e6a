//! Errors as clients see them. The one place that maps what went wrong to a status ([`Code`]) and a body:
//! `{"error":{"code","message"}}`.
//!
//! Two kinds of text are kept apart. The *message* of an [`ApiError`] is written for the client: what happened and
//! what to do. What only the operator may know (addresses, replies of the server) goes to the process log at the
//! place where it happened and never into an `ApiError`.

mod code;

use std::time::Duration;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use broker::{
    AppendError, DurabilityError, EphemeralError, FilterError, KeyError, ReadError, SessionError, Unavailable,
};
use shared::{Cursor, CursorError, NameError, wire};

pub use code::Code;

/// Bytes of a message that is cut.
const SHORT_MESSAGE_BYTES_MAX: usize = 400;

/// An error that is safe to show to a client.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    code: Code,
    message: String,
    retry_after: Option<Duration>,
    /// Where the event is, if it is in the log nevertheless.
    appended: Option<Cursor>,
}

impl ApiError {
    /// An error with a message for the client.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            retry_after: code.retry_after(),
            appended: None,
        }
    }

    /// A parameter that cannot be used; the message names it.
    pub fn parameter(name: &str, problem: impl std::fmt::Display) -> Self {
        Self::new(Code::InvalidParameter, format!("parameter \"{name}\": {problem}"))
    }

    /// Asks the client to wait that long.
    #[must_use]
    pub fn retry_after(mut self, pause: Duration) -> Self {
        self.retry_after = Some(pause);
        self
    }

    /// What went wrong, for programs.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What went wrong, for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// An error may quote what it is about, and that may be long: cut, for a frame that holds other things too.
    #[must_use]
    pub(crate) fn shortened(mut self) -> Self {
        if self.message.len() > SHORT_MESSAGE_BYTES_MAX {
            let cut = self.message.floor_char_boundary(SHORT_MESSAGE_BYTES_MAX);
            self.message.truncate(cut);
            self.message.push('…');
        }
        self
    }

    /// Where the event is that the error is about, if it is in the log nevertheless.
    pub fn appended(&self) -> Option<Cursor> {
        self.appended
    }

    /// Appends `{"code":…,"message":…}`, with `"id"` and `"cursor"` of an event that is in the log nevertheless.
    pub fn push_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"code\":\"");
        out.extend_from_slice(self.code.as_str().as_bytes());
        out.extend_from_slice(b"\",\"message\":");
        wire::push_json_string(out, &self.message);
        if let Some(cursor) = self.appended {
            let place = format!(",\"id\":\"{}\",\"cursor\":\"{cursor}\"", cursor.id);
            out.extend_from_slice(place.as_bytes());
        }
        out.push(b'}');
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.into_response_with(b"")
    }
}

impl ApiError {
    /// The answer; `members`, with a comma before each, stand behind the error.
    pub(crate) fn into_response_with(self, members: &[u8]) -> Response {
        let mut body = b"{\"error\":".to_vec();
        self.push_json(&mut body);
        body.extend_from_slice(members);
        body.extend_from_slice(b"}\n");
        let mut response = (self.code.status(), body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(pause) = self.retry_after {
            // Whole seconds, rounded up: coming back too early only costs another refusal.
            let seconds = pause.as_secs() + u64::from(pause.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response
    }
}

impl From<Unavailable> for ApiError {
    fn from(error: Unavailable) -> Self {
        Self::new(Code::Unavailable, error.to_string())
    }
}

impl From<AppendError> for ApiError {
    fn from(error: AppendError) -> Self {
        let code = match &error {
            AppendError::Unavailable(_) => Code::Unavailable,
            AppendError::Unconfirmed => Code::Unconfirmed,
            AppendError::TooLarge { .. } => Code::TooLarge,
            AppendError::Full => Code::Full,
            AppendError::WrongType => Code::WrongType,
            AppendError::Refused(_) => Code::Refused,
            AppendError::Closed => Code::Closing,
            AppendError::NotDurable { .. } => Code::NotDurable,
        };
        let mut api_error = Self::new(code, error.to_string());
        if let AppendError::NotDurable { appended, .. } = error {
            api_error.appended = Some(appended.cursor);
        }
        api_error
    }
}

impl From<DurabilityError> for ApiError {
    fn from(error: DurabilityError) -> Self {
        Self::new(Code::InvalidParameter, error.to_string())
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        let code = match &error {
            ReadError::Unavailable(_) => Code::Unavailable,
            ReadError::WrongType => Code::WrongType,
            ReadError::Refused(_) => Code::Refused,
            ReadError::TooManyStreams(_) => Code::TooManyStreams,
            ReadError::TooManySubscriptions(_) => Code::TooManySubscriptions,
        };
        Self::new(code, error.to_string())
    }
}

impl From<EphemeralError> for ApiError {
    fn from(error: EphemeralError) -> Self {
        let code = match &error {
            EphemeralError::Unavailable(_) => Code::Unavailable,
            EphemeralError::TooLarge { .. } => Code::TooLarge,
        };
        Self::new(code, error.to_string())
    }
}

impl From<SessionError> for ApiError {
    fn from(error: SessionError) -> Self {
        let code = match &error {
            SessionError::Unavailable(_) => Code::Unavailable,
            SessionError::TooLarge { .. } => Code::TooLarge,
            SessionError::Refused(_) => Code::Refused,
        };
        Self::new(code, error.to_string())
    }
}

impl From<NameError> for ApiError {
    fn from(error: NameError) -> Self {
        Self::new(Code::InvalidStream, error.to_string())
    }
}

impl From<KeyError> for ApiError {
    fn from(error: KeyError) -> Self {
        Self::new(Code::InvalidKey, error.to_string())
    }
}

impl From<FilterError> for ApiError {
    fn from(error: FilterError) -> Self {
        Self::parameter("match", error)
    }
}

impl From<CursorError> for ApiError {
    fn from(error: CursorError) -> Self {
        Self::parameter("from", error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Codes that only stand in WebSocket frames and Socket.IO acknowledgements.
    const FRAMES_ONLY: &[Code] = &[Code::InvalidFrame, Code::NotSubscribed, Code::UnknownEvent];

    #[test]
    fn the_reference_has_every_code_with_its_status() {
        let (_, reference) = include_str!("../../docs/http.md")
            .split_once("## Errors")
            .unwrap_or_default();
        let mut listed = Vec::new();
        for row in reference.lines().filter(|line| line.starts_with("| ")) {
            let status = row.split('|').nth(1).unwrap_or_default().trim();
            let codes = row.split('`').skip(1).step_by(2);
            listed.extend(codes.map(|code| format!("{status} {code}")));
        }
        let codes = Code::ALL.iter().filter(|code| !FRAMES_ONLY.contains(code));
        let mut known: Vec<String> = codes
            .map(|code| format!("{} {}", code.status().as_u16(), code.as_str()))
            .collect();
        listed.sort();
        known.sort();
        assert_eq!(listed, known);
    }

    #[test]
    fn a_pause_is_told_in_whole_seconds_and_never_none() {
        let error = ApiError::new(Code::RateLimited, "x").retry_after(Duration::from_millis(1200));
        let value = error.into_response().headers().get(header::RETRY_AFTER).cloned();
        assert_eq!(value, Some(HeaderValue::from(2)));
        let error = ApiError::new(Code::RateLimited, "x").retry_after(Duration::ZERO);
        let value = error.into_response().headers().get(header::RETRY_AFTER).cloned();
        assert_eq!(value, Some(HeaderValue::from(1)));
        let response = ApiError::new(Code::NotFound, "x").into_response();
        assert!(!response.headers().contains_key(header::RETRY_AFTER));
    }
}
