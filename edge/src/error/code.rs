//! What went wrong, for programs: each code with its status, and whether trying again helps.

use std::time::Duration;

use axum::http::StatusCode;

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
    /// The stream is not followed on this socket.
    NotSubscribed,
    /// There is neither a route nor a built-in event of this name.
    UnknownEvent,
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
    /// The event is in the log, but not as durable as asked. The error says where it is.
    NotDurable,
}

impl Code {
    /// Every code.
    pub const ALL: &[Self] = &[
        Self::BadRequest,
        Self::InvalidStream,
        Self::InvalidParameter,
        Self::InvalidJson,
        Self::InvalidEvent,
        Self::InvalidFrame,
        Self::NotSubscribed,
        Self::UnknownEvent,
        Self::InvalidKey,
        Self::ForbiddenOrigin,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NotAcceptable,
        Self::RequestTimeout,
        Self::HeadersTooLarge,
        Self::WrongType,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::UpgradeRequired,
        Self::TooManySubscriptions,
        Self::RateLimited,
        Self::Internal,
        Self::Refused,
        Self::Unavailable,
        Self::TooManyStreams,
        Self::Closing,
        Self::Unconfirmed,
        Self::Full,
        Self::NotDurable,
    ];

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
            Self::UnknownEvent => "unknown_event",
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
            Self::NotDurable => "not_durable",
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
            | Self::UnknownEvent
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
            Self::Unconfirmed | Self::NotDurable => StatusCode::GATEWAY_TIMEOUT,
            Self::Full => StatusCode::INSUFFICIENT_STORAGE,
        }
    }

    /// How long to wait before the same request may succeed; `None` where trying again does not help.
    pub(super) fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Unavailable
            | Self::TooManyStreams
            | Self::Closing
            | Self::Unconfirmed
            | Self::NotDurable => Some(RETRY_AFTER_AWAY),
            Self::Full => Some(RETRY_AFTER_FULL),
            _ => None,
        }
    }
}
