//! A page of a stream as JSON, at once or as soon as there is something to tell (a long poll).

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use broker::{Delivery, Direction, Filter, From, Order, Page, ReadRequest, Subscriber, SubscriberConfig};
use shared::limits::{FILTER_SCAN_ENTRIES_MAX, PAGE_BYTES_MAX, PAGE_ENTRIES_MAX};
use shared::{Cursor, StreamName, Verdict};
use tokio::time::Instant;

use super::query::PageQuery;
use crate::app::AppState;
use crate::error::ApiError;
use crate::{metrics, page};

/// Says of an answer that it is out of the memory of this edge, as the log is away.
pub(super) const DEGRADED: HeaderName = HeaderName::from_static("weir-degraded");

/// Answers a page; with `wait`, not before there is something to tell or the time is up.
pub(super) async fn page(
    state: AppState,
    stream: StreamName,
    query: PageQuery,
) -> Result<Response, ApiError> {
    let mut page = collect(&state, &stream, &query, query.request).await?;
    if let Some(wait) = query.wait
        && nothing_to_tell(&page)
    {
        let wait = wait.min(state.config.limits.wait_max);
        let cursor = wait_for_event(&state, &stream, &query, page.cursor, wait).await?;
        let request = ReadRequest {
            direction: Direction::Forward(From::Cursor(cursor)),
            ..query.request
        };
        let first = page.verdict;
        page = collect(&state, &stream, &query, request).await?;
        if page.verdict == Verdict::Continuous {
            page.verdict = first;
        }
    }
    match page.verdict {
        Verdict::Continuous => {}
        Verdict::Gap { .. } => metrics::verdicts("gap", 1),
        Verdict::Reset => metrics::verdicts("reset", 1),
        Verdict::Unverified => metrics::verdicts("unverified", 1),
    }
    metrics::delivered("page", page.entries.len() as u64);
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    let mut body = Vec::new();
    page::push_json(&mut body, &page);
    body.push(b'\n');
    let mut response = (headers, body).into_response();
    if page.degraded {
        response
            .headers_mut()
            .insert(DEGRADED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

fn nothing_to_tell(page: &Page) -> bool {
    let settled = matches!(page.verdict, Verdict::Continuous | Verdict::Unverified);
    page.entries.is_empty() && page.tail_reached && settled
}

/// Reads until the page is full, the tail is reached, or enough has been looked through. What the filter holds back
/// is passed by the cursor, so that the next request does not look through it again.
async fn collect(
    state: &AppState,
    stream: &StreamName,
    query: &PageQuery,
    request: ReadRequest,
) -> Result<Page, ApiError> {
    let mut page = if query.filter.passes_all() {
        state.log.read_or_recall(stream, &request).await?
    } else {
        search(state, stream, &query.filter, request).await?
    };
    let backward = matches!(request.direction, Direction::Backward { .. });
    page::bound(&mut page, PAGE_BYTES_MAX, backward);
    Ok(page)
}

/// Looks for entries that pass the filter, in large pages, whatever the limit of what is found.
async fn search(
    state: &AppState,
    stream: &StreamName,
    filter: &Filter,
    request: ReadRequest,
) -> Result<Page, ApiError> {
    let mut read = ReadRequest {
        limit: PAGE_ENTRIES_MAX,
        ..request
    };
    let mut scanned = 0;
    let mut found: Option<Page> = None;
    loop {
        let mut page = state.log.read_or_recall(stream, &read).await?;
        scanned += page.entries.len();
        let entries = std::mem::take(&mut page.entries);
        let mut matching = entries.into_iter().filter(|entry| filter.passes(&entry.event));
        if let Some(before) = found.take() {
            let broken = matches!(page.verdict, Verdict::Gap { .. } | Verdict::Reset);
            if broken && !before.entries.is_empty() {
                // This loss stands behind what was found; the next request meets it first.
                return Ok(before);
            }
            page.entries = before.entries;
            page.degraded |= before.degraded;
            if !broken {
                page.verdict = before.verdict;
            }
        }
        let room = request.limit - page.entries.len();
        page.entries.extend(matching.by_ref().take(room));
        if matching.next().is_some() {
            page.tail_reached = false;
            if let Some(last) = page.entries.last() {
                page.cursor = last.cursor;
            }
        }
        let full = page.entries.len() >= request.limit;
        if full || page.tail_reached || scanned >= FILTER_SCAN_ENTRIES_MAX {
            return Ok(page);
        }
        read.direction = go_on(request.direction, page.cursor);
        found = Some(page);
    }
}

/// Where a read goes on after `cursor`, in the same direction and with the same ends.
fn go_on(direction: Direction, cursor: Cursor) -> Direction {
    match direction {
        Direction::Forward(_) => Direction::Forward(From::Cursor(cursor)),
        Direction::Backward { since, .. } => Direction::Backward {
            before: Some(cursor),
            since,
        },
    }
}

/// Waits until an event that passes the filter, or a loss, lies after `cursor`. Returns where to read from: what the
/// filter held back meanwhile has been passed.
async fn wait_for_event(
    state: &AppState,
    stream: &StreamName,
    query: &PageQuery,
    mut cursor: Cursor,
    wait: Duration,
) -> Result<Cursor, ApiError> {
    let deadline = Instant::now() + wait;
    let config = SubscriberConfig {
        order: Order::PerStream,
        streams_max: 1,
        ephemeral: false,
    };
    let mut subscriber = Subscriber::new(state.log.clone(), config);
    let from = From::Cursor(cursor);
    subscriber
        .subscribe(stream.clone(), from, query.request.until, query.filter.clone())
        .await?;
    let mut deliveries = Vec::new();
    loop {
        tokio::select! {
            () = state.drain.cancelled() => return Ok(cursor),
            () = tokio::time::sleep_until(deadline) => return Ok(cursor),
            // One byte is enough: only whether there is something matters.
            () = subscriber.next(1, &mut deliveries) => {}
        }
        for delivery in deliveries.drain(..) {
            match delivery {
                Delivery::Passed { cursor: passed, .. } => cursor = passed,
                Delivery::CaughtUp { .. }
                | Delivery::Unverified { .. }
                | Delivery::Degraded { .. }
                | Delivery::Restored { .. }
                | Delivery::Ephemeral(_) => {}
                Delivery::Event(_)
                | Delivery::Gap { .. }
                | Delivery::Reset { .. }
                | Delivery::Ended { .. } => {
                    return Ok(cursor);
                }
            }
        }
    }
}
