//! Publishing over HTTP. One event as JSON is answered with where it went; a stream of lines goes to [`super::ingest`].

use axum::body::{Body, Bytes};
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use broker::{Appended, Durability, IdempotencyKey, NewEvent};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use shared::StreamName;
use shared::limits::EVENT_SYNTAX_BYTES_MAX;
use tracing::debug;

use super::accept::Format;
use super::query::StreamPath;
use super::{event, ingest};
use crate::app::AppState;
use crate::error::{ApiError, Code};
use crate::metrics;
use crate::rate::Client;
use crate::trace::RequestTrace;

/// The header that names one publish; same as `"key"` in the body.
pub(super) const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The header that says how durable what is published must be before it is acknowledged; same as `"durability"` in the body,
/// which wins.
const DURABILITY: &str = "weir-durability";

/// POST and PUT of a stream, by the form of the body.
pub(super) async fn publish(
    State(state): State<AppState>,
    StreamPath(stream): StreamPath,
    Extension(trace): Extension<RequestTrace>,
    Extension(client): Extension<Client>,
    request: Request,
) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    if let Some(query) = head.uri.query().filter(|query| !query.is_empty()) {
        let name = query.split(['=', '&']).next().unwrap_or_default();
        return Err(ApiError::parameter(name, "publishing takes no parameters"));
    }
    match body_format(&head.method, &head.headers)? {
        Format::Json => {
            state.rate.publish(client)?;
            one(&state, &stream, trace, &head.headers, body).await
        }
        Format::Ndjson | Format::Sse => {
            ingest::ingest(&state, stream, client, trace, &head.headers, body).await
        }
    }
}

/// The form of the body. Without a content type a POST brings one event; a PUT (what `curl -T` sends) brings lines.
fn body_format(method: &Method, headers: &HeaderMap) -> Result<Format, ApiError> {
    let unsupported = |what: &str| {
        let message = format!(
            "cannot read {what}; send one event as application/json (curl --json) or lines of them as application/x-ndjson"
        );
        ApiError::new(Code::UnsupportedMediaType, message)
    };
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING)
        && encoding != "identity"
    {
        return Err(unsupported("a compressed body"));
    }
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Ok(if method == Method::PUT {
            Format::Ndjson
        } else {
            Format::Json
        });
    };
    let media_type = value.to_str().unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    match Format::of_media_type(media_type) {
        Some(format @ (Format::Json | Format::Ndjson)) => Ok(format),
        _ => Err(unsupported(&format!("{media_type:?}"))),
    }
}

/// Publishes one event.
async fn one(
    state: &AppState,
    stream: &StreamName,
    trace: RequestTrace,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let outcome = append_one(state, stream, trace, headers, body).await;
    let label = match &outcome {
        Ok(Appended { duplicate: true, .. }) => "duplicate",
        Ok(_) => "ok",
        Err(error) => error.code().as_str(),
    };
    metrics::published("http", label, 1);
    let appended =
        outcome.inspect_err(|error| debug!(%stream, outcome = label, %error, "publish refused"))?;
    debug!(%stream, outcome = label, id = %appended.cursor.id, "published");
    let mut answer = Vec::with_capacity(128);
    push_answer(&mut answer, &appended);
    Ok((
        StatusCode::CREATED,
        [(header::CONTENT_TYPE, "application/json")],
        answer,
    )
        .into_response())
}

async fn append_one(
    state: &AppState,
    stream: &StreamName,
    trace: RequestTrace,
    headers: &HeaderMap,
    body: Body,
) -> Result<Appended, ApiError> {
    let body = read_body(state, headers, body).await?;
    let received = trace.received.map(shared::trace::TraceParent::to_text);
    let mut event = event::parse(&body, received.as_ref())?;
    event.durability = event.durability.or(durability(headers)?);
    take_key(&mut event, headers)?;
    Ok(state.log.append(stream, event).await?)
}

/// The key of the header, which may repeat that of the body but not contradict it.
fn take_key(event: &mut NewEvent, headers: &HeaderMap) -> Result<(), ApiError> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(());
    };
    let key: IdempotencyKey = value.to_str().unwrap_or_default().parse()?;
    let differs = event.key.as_ref().is_some_and(|own| *own != key);
    if differs || values.next().is_some() {
        let message = "the Idempotency-Key header and the \"key\" of the body name different keys";
        return Err(ApiError::new(Code::InvalidKey, message));
    }
    event.key = Some(key);
    Ok(())
}

/// What the header asks for.
pub(super) fn durability(headers: &HeaderMap) -> Result<Option<Durability>, ApiError> {
    let mut values = headers.get_all(DURABILITY).iter();
    let (first, second) = (values.next(), values.next());
    if second.is_some() {
        return Err(ApiError::new(
            Code::InvalidParameter,
            "there are two Weir-Durability headers",
        ));
    }
    let parse = |value: &HeaderValue| value.to_str().unwrap_or_default().parse();
    Ok(first.map(parse).transpose()?)
}

/// Reads the body of one event, into memory that holds nothing else.
async fn read_body(state: &AppState, headers: &HeaderMap, body: Body) -> Result<Bytes, ApiError> {
    let limits = &state.config.limits;
    let max = limits.event_bytes_max + EVENT_SYNTAX_BYTES_MAX;
    let too_large = || {
        ApiError::new(
            Code::TooLarge,
            format!("the body of one event may have {max} bytes"),
        )
    };
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > max) {
        return Err(too_large());
    }
    let collecting = tokio::time::timeout(limits.body_timeout, Limited::new(body, max).collect());
    let Ok(collected) = collecting.await else {
        return Err(ApiError::new(
            Code::RequestTimeout,
            "the body did not arrive in time",
        ));
    };
    match collected {
        // What hyper hands out is part of its read buffer; a copy does not pin that.
        Ok(body) => Ok(Bytes::copy_from_slice(&body.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(error) => Err(ApiError::new(
            Code::BadRequest,
            format!("the body could not be read: {error}"),
        )),
    }
}

/// Appends `{"id","cursor","duplicate"?}` and a line break. By hand, because uploads do this for every line.
pub(super) fn push_answer(out: &mut Vec<u8>, appended: &Appended) {
    appended.push_json(out);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared::{Cursor, EntryId, Ordinal};

    use super::*;

    proptest! {
        #[test]
        fn answers_read_as_they_print(ms: u64, seq: u64, ordinal: Option<u64>, duplicate: bool) {
            let cursor = Cursor { id: EntryId::new(ms, seq), ordinal: ordinal.map(Ordinal) };
            let mut out = Vec::new();
            push_answer(&mut out, &Appended { cursor, duplicate });
            let tail = if duplicate { ",\"duplicate\":true" } else { "" };
            let expected = format!("{{\"id\":\"{}\",\"cursor\":\"{cursor}\"{tail}}}\n", cursor.id);
            prop_assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }
}
