//! The requests of a client that polls.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::sync::oneshot;

use crate::engineio::Settings;
use crate::engineio::answer::{self, GetAnswer};
use crate::engineio::mailbox::{Letter, Mailbox, PostAnswer};
use crate::engineio::refusal::Refusal;

/// Waits for something to say to the client.
pub(super) async fn poll(mailbox: &Arc<Mailbox>) -> Result<Response, Refusal> {
    let (sender, receiver) = oneshot::channel();
    mailbox.put(Letter::Get(sender)).map_err(|_| Refusal::Sid)?;
    match receiver.await {
        Ok(GetAnswer::Payload(payload, transfer)) => Ok(answer::payload(payload, transfer)),
        Ok(GetAnswer::Refused) => Err(Refusal::Request),
        Err(_) => Err(Refusal::Sid),
    }
}

/// Takes what the client says.
pub(super) async fn post(
    settings: &Settings,
    mailbox: &Arc<Mailbox>,
    request: Request,
) -> Result<Response, Refusal> {
    let Some(mut posting) = mailbox.begin_post() else {
        // If the session is gone already there is nothing to end.
        let _ = mailbox.put(Letter::PostBroken);
        return Err(Refusal::Request);
    };
    let (parts, body) = request.into_parts();
    let body = match read(settings, &parts.headers, body).await {
        Ok(body) => body,
        Err(Unread::TooLarge) => {
            posting.done();
            return Err(Refusal::TooLarge);
        }
        Err(Unread::Binary) => {
            posting.done();
            let _ = mailbox.put(Letter::PostBroken);
            return Err(Refusal::Request);
        }
        // That the post broke off is told when `posting` is dropped.
        Err(Unread::Lost) => return Err(Refusal::Request),
    };
    let (sender, receiver) = oneshot::channel();
    posting.done();
    mailbox
        .put(Letter::Post(body, sender))
        .map_err(|_| Refusal::Sid)?;
    match receiver.await {
        Ok(PostAnswer::Taken) => Ok(answer::text("ok")),
        Ok(PostAnswer::Broken) => Err(Refusal::Request),
        Err(_) => Err(Refusal::Sid),
    }
}

enum Unread {
    /// It has more bytes than it may have.
    TooLarge,
    /// It says that it is binary, which a payload of version 4 never is.
    Binary,
    /// It did not come, or not in time.
    Lost,
}

async fn read(settings: &Settings, headers: &HeaderMap, body: Body) -> Result<Bytes, Unread> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if header(header::CONTENT_TYPE) == Some("application/octet-stream") {
        return Err(Unread::Binary);
    }
    let announced = header(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > settings.max_payload as u64) {
        return Err(Unread::TooLarge);
    }
    let collecting = Limited::new(body, settings.max_payload).collect();
    match tokio::time::timeout(settings.body_timeout, collecting).await {
        // What hyper hands out is part of its read buffer; a copy does not pin that.
        Ok(Ok(body)) => Ok(Bytes::copy_from_slice(&body.to_bytes())),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Unread::TooLarge),
        Ok(Err(_)) | Err(_) => Err(Unread::Lost),
    }
}
