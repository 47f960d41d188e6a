//! What an answer that is no success means: whether to try again, and what to tell people.

use std::error::Error;
use std::time::Duration;

use reqwest::Response;
use shared::limits::CLIENT_RETRY_AFTER_MAX;

use super::terminal::neutral;

/// Bytes of an error answer that are read.
const ERROR_BODY_BYTES_MAX: usize = 64 * 1024;
/// Characters of an error answer in an unknown form that are shown.
const ERROR_TEXT_CHARS_MAX: usize = 200;

/// Why a request did not bring what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Problem {
    /// It may work when it is tried again.
    Passing {
        /// What happened, for people.
        why: String,
        /// How long the edge asks to wait.
        retry_after: Option<Duration>,
        /// Whether the request may have reached the edge.
        sent: bool,
    },
    /// It will not work however often it is tried.
    Lasting {
        /// What happened, for people.
        why: String,
        /// The HTTP status, where there was one.
        status: Option<u16>,
    },
}

impl Problem {
    /// A problem that may pass.
    pub(super) fn passing(why: impl Into<String>) -> Self {
        Self::Passing {
            why: why.into(),
            retry_after: None,
            sent: true,
        }
    }

    /// A problem that will not pass.
    pub(super) fn lasting(why: impl Into<String>) -> Self {
        Self::Lasting {
            why: why.into(),
            status: None,
        }
    }
}

impl From<reqwest::Error> for Problem {
    fn from(error: reqwest::Error) -> Self {
        if let Some(why) = certificate_problem(&error) {
            return Self::lasting(format!("the certificate of the edge is not good: {why}"));
        }
        if error.is_builder() {
            return Self::lasting(root_cause(&error));
        }
        Self::Passing {
            why: root_cause(&error),
            retry_after: None,
            sent: !error.is_connect(),
        }
    }
}

/// Passes on an answer that is a success and of the type `content_type`; reads what any other means.
pub(super) async fn accepted(response: Response, content_type: &str) -> Result<Response, Problem> {
    let status = response.status();
    if !status.is_success() {
        return Err(refusal(response).await);
    }
    let header = response.headers().get(reqwest::header::CONTENT_TYPE);
    let given = header.and_then(|v| v.to_str().ok()).unwrap_or("nothing known");
    if given
        .split(';')
        .next()
        .is_some_and(|kind| kind.trim() == content_type)
    {
        return Ok(response);
    }
    let given = neutral(given).into_owned();
    Err(Problem::lasting(format!(
        "no edge of Weir answers there: it sends {given} where {content_type} is due"
    )))
}

/// What an answer other than a success means.
async fn refusal(mut response: Response) -> Problem {
    let status = response.status();
    let retry_after = response
        .headers()
        .get(reqwest::header::RETRY_AFTER)
        .and_then(|v| v.to_str().ok())
        .and_then(|text| retry_after(text, shared::time::now_ms()));
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() >= ERROR_BODY_BYTES_MAX {
            break;
        }
    }
    let why = format!("{} ({})", error_text(&body), status.as_u16());
    // 408, 425 and 429 are about this moment, not about the request (RFC 9110 15.5.9, RFC 8470 5.2, RFC 6585 4).
    if status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429) {
        return Problem::Passing {
            why,
            retry_after,
            sent: true,
        };
    }
    if status.is_redirection() {
        let location = response.headers().get(reqwest::header::LOCATION);
        let to = location.and_then(|v| v.to_str().ok()).unwrap_or("nowhere");
        let to = neutral(to);
        let why = format!("the edge sends on to {to}; give the URL of the edge itself with --url");
        return Problem::Lasting {
            why,
            status: Some(status.as_u16()),
        };
    }
    Problem::Lasting {
        why,
        status: Some(status.as_u16()),
    }
}

/// The form of an error, in an answer or in a line of one.
#[derive(Debug, serde::Deserialize)]
pub(super) struct ErrorBody {
    /// The error.
    pub(super) error: ErrorDetail,
}

/// What an edge says about an error.
#[derive(Debug, serde::Deserialize)]
pub(super) struct ErrorDetail {
    /// For programs.
    pub(super) code: String,
    /// For people.
    #[serde(default)]
    pub(super) message: String,
}

impl ErrorDetail {
    /// Both, safe to print.
    pub(super) fn text(&self) -> String {
        match self.message.as_str() {
            "" => neutral(&self.code).into_owned(),
            message => neutral(message).into_owned(),
        }
    }
}

/// The text of an error answer, on one line and safe to print.
fn error_text(body: &[u8]) -> String {
    if let Ok(parsed) = serde_json::from_slice::<ErrorBody>(body) {
        return parsed.error.text();
    }
    let text = String::from_utf8_lossy(body);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = words.chars().take(ERROR_TEXT_CHARS_MAX).collect();
    match short.as_str() {
        "" => "the edge refused without a word".to_owned(),
        short => neutral(short).into_owned(),
    }
}

/// Reads `Retry-After`: seconds or a date (RFC 9110, section 10.2.3).
fn retry_after(text: &str, now_ms: u64) -> Option<Duration> {
    let pause = match text.trim().parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
            let then_ms = u64::try_from(date.as_millisecond()).ok()?;
            Duration::from_millis(then_ms.saturating_sub(now_ms))
        }
    };
    Some(pause.min(CLIENT_RETRY_AFTER_MAX))
}

/// The innermost cause: the outer ones only repeat the URL.
pub(super) fn root_cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn Error = error;
    while let Some(inner) = source(cause) {
        cause = inner;
    }
    neutral(&cause.to_string()).into_owned()
}

/// What is wrong with the certificate, if that is why the connection failed.
fn certificate_problem(error: &reqwest::Error) -> Option<String> {
    let mut cause: &dyn Error = error;
    while let Some(inner) = source(cause) {
        if let Some(rustls::Error::InvalidCertificate(why)) = inner.downcast_ref::<rustls::Error>() {
            return Some(neutral(&why.to_string()).into_owned());
        }
        cause = inner;
    }
    None
}

/// The next inner cause. An I/O error that holds another error names that one's cause as its own, and skips it.
fn source<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref)
    {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date_and_bounded() {
        assert_eq!(retry_after("7", 0), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("999999999", 0), Some(CLIENT_RETRY_AFTER_MAX));
        let date = "Wed, 21 Oct 2015 07:28:00 GMT";
        assert_eq!(
            retry_after(date, 1_445_412_470_000),
            Some(Duration::from_secs(10))
        );
        assert_eq!(retry_after(date, 1_500_000_000_000), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", 0), None);
    }

    #[test]
    fn an_error_text_is_one_safe_line() {
        let ours = br#"{"error":{"code":"invalid_stream","message":"bad \u001b[31mname"}}"#;
        assert_eq!(error_text(ours), "bad \\u001b[31mname");
        assert_eq!(
            error_text(b"<html>\n 502\x1b[2J bad</html>"),
            "<html> 502\\u001b[2J bad</html>"
        );
        assert_eq!(error_text(b""), "the edge refused without a word");
    }
}
