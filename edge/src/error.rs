//! Errors as clients see them. The one file that maps what went wrong to a status and a body:
//! `{"error":{"code","message"}}`.
//!
//! Two kinds of text are kept apart. The *message* of an [`ApiError`] is written for the client: what happened and
//! what to do. What only the operator may know (addresses, replies of the server) goes to the process log at the
//! place where it happened and never into an `ApiError`.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use broker::{AppendError, FilterError, KeyError, ReadError, Unavailable};
use shared::{CursorError, NameError, wire};

/// How long a client is asked to wait when the log or the edge is away for the moment.
const RETRY_AFTER_AWAY: Duration = Duration::from_secs(1);
/// How long a client is asked to wait when the log is full: only trimming makes room.
const RETRY_AFTER_FULL: Duration = Duration::from_secs(5);

/// What went wrong, for programs. Append-only: a code that was ever sent keeps its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The request as a whole cannot be understood.
    BadRequest,
    /// The text is not a stream name.
    InvalidStream,
    /// A parameter is unknown, malformed, given twice, or contradicts another; the message names it.
    InvalidParameter,
    /// The body or line is not JSON; the message says where.
    InvalidJson,
    /// The JSON is no event: a field is missing, unknown or of the wrong type.
    InvalidEvent,
    /// The WebSocket frame is no request: its type or a key is missing, unknown or of the wrong type.
    InvalidFrame,
    /// The stream is not followed on this WebSocket.
    NotSubscribed,
    /// The idempotency key is malformed, or header and body disagree.
    InvalidKey,
    /// Pages of this origin may not open a WebSocket here.
    ForbiddenOrigin,
    /// There is nothing at this path.
    NotFound,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// None of the accepted content types can be given.
    NotAcceptable,
    /// The request was not sent in time.
    RequestTimeout,
    /// The head of the request exceeds its limit.
    HeadersTooLarge,
    /// The key of the stream holds another type of value.
    WrongType,
    /// The body, line or event exceeds its limit.
    TooLarge,
    /// The content type cannot be read here.
    UnsupportedMediaType,
    /// Only a WebSocket of version 13 is served here.
    UpgradeRequired,
    /// One subscriber asks for more streams than it may.
    TooManySubscriptions,
    /// More than the rate limit allows.
    RateLimited,
    /// A bug in this edge.
    Internal,
    /// The log refused what was asked.
    Refused,
    /// The log cannot be reached; nothing was done.
    Unavailable,
    /// This edge follows as many streams as it may.
    TooManyStreams,
    /// The edge is shutting down; nothing was done.
    Closing,
    /// The answer of the log was lost: the event may have been appended or not.
    Unconfirmed,
    /// The log is full; nothing was done.
    Full,
}

impl Code {
    /// The code as it stands in the body.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::InvalidStream => "invalid_stream",
            Self::InvalidParameter => "invalid_parameter",
            Self::InvalidJson => "invalid_json",
            Self::InvalidEvent => "invalid_event",
            Self::InvalidFrame => "invalid_frame",
            Self::NotSubscribed => "not_subscribed",
            Self::InvalidKey => "invalid_key",
            Self::ForbiddenOrigin => "forbidden_origin",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NotAcceptable => "not_acceptable",
            Self::RequestTimeout => "request_timeout",
            Self::HeadersTooLarge => "headers_too_large",
            Self::WrongType => "wrong_type",
            Self::TooLarge => "too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::UpgradeRequired => "upgrade_required",
            Self::TooManySubscriptions => "too_many_subscriptions",
            Self::RateLimited => "rate_limited",
            Self::Internal => "internal",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
            Self::TooManyStreams => "too_many_streams",
            Self::Closing => "closing",
            Self::Unconfirmed => "unconfirmed",
            Self::Full => "full",
        }
    }

    /// The HTTP status it is sent with.
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadRequest
            | Self::InvalidStream
            | Self::InvalidParameter
            | Self::InvalidJson
            | Self::InvalidEvent
            | Self::InvalidFrame
            | Self::NotSubscribed
            | Self::InvalidKey
            | Self::TooManySubscriptions => StatusCode::BAD_REQUEST,
            Self::ForbiddenOrigin => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::WrongType => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::UpgradeRequired => StatusCode::UPGRADE_REQUIRED,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Refused => StatusCode::BAD_GATEWAY,
            Self::Unavailable | Self::TooManyStreams | Self::Closing => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unconfirmed => StatusCode::GATEWAY_TIMEOUT,
            Self::Full => StatusCode::INSUFFICIENT_STORAGE,
        }
    }

    /// How long to wait before the same request may succeed; `None` where trying again does not help.
    fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Unavailable | Self::TooManyStreams | Self::Closing | Self::Unconfirmed => {
                Some(RETRY_AFTER_AWAY)
            }
            Self::Full => Some(RETRY_AFTER_FULL),
            _ => None,
        }
    }
}

/// An error that is safe to show to a client.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    code: Code,
    message: String,
    retry_after: Option<Duration>,
}

impl ApiError {
    /// An error with a message for the client.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            retry_after: code.retry_after(),
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

    /// Appends `{"code":…,"message":…}`.
    pub fn push_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"code\":\"");
        out.extend_from_slice(self.code.as_str().as_bytes());
        out.extend_from_slice(b"\",\"message\":");
        wire::push_json_string(out, &self.message);
        out.push(b'}');
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut body = b"{\"error\":".to_vec();
        self.push_json(&mut body);
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
        };
        Self::new(code, error.to_string())
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
