//! What a case is given: a log of one engine, its hidden side, and small words for events and pages.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use broker::{
    Appended, Direction, From, HubConfig, Limits, Log, NewEvent, Page, ReadRequest, Retention, RetentionRules,
};
use bytes::Bytes;
use shared::{Cursor, Entry, EntryId, Event, Payload, StreamName};

/// How long a case waits for something that must happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A fresh log of one engine, and the hidden side of its streams.
#[async_trait]
pub(crate) trait Fixture: Send + Sync + Sized + 'static {
    /// A stream as it was at one moment.
    type Snapshot: Send + Sync + Clone;

    /// Randomised runs per test, where no number is given from outside.
    const MODEL_CASES: u32;

    async fn start(settings: Settings) -> Self;
    fn log(&self) -> Arc<dyn Log>;
    /// An `XADD` by another client. The fields are not empty, and `id` is above every other ID of the stream.
    async fn append_raw(&self, stream: &StreamName, id: Option<EntryId>, fields: &Fields) -> EntryId;
    /// Trims to exactly `keep` entries.
    async fn trim(&self, stream: &StreamName, keep: u64);
    /// Deletes one entry.
    async fn delete_entry(&self, stream: &StreamName, id: EntryId);
    /// Deletes the stream.
    async fn delete_stream(&self, stream: &StreamName);
    async fn snapshot(&self, stream: &StreamName) -> Self::Snapshot;
    /// Puts the stream back to what it was.
    async fn restore(&self, stream: &StreamName, snapshot: Self::Snapshot);
    /// Lets at least `by` go by on the clock of the log.
    async fn advance(&self, by: Duration);
}

/// The fields of an entry.
pub(crate) type Fields = [(Bytes, Bytes)];

/// Settings of a log that both engines have.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) limits: Limits,
    pub(crate) retention: RetentionRules,
    pub(crate) hub: HubConfig,
}

impl Default for Settings {
    /// Everything is kept.
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            retention: RetentionRules {
                rules: Vec::new(),
                default: KEEP_ALL,
            },
            hub: HubConfig::default(),
        }
    }
}

impl Settings {
    /// With a ring of so few entries that everybody falls off it.
    pub(crate) fn tiny_ring(entries: usize) -> Self {
        let mut settings = Self::default();
        settings.hub.ring_entries_max = entries;
        settings
    }
}

pub(crate) const KEEP_ALL: Retention = Retention {
    entries_max: None,
    age_max: None,
    idle_max: None,
};

pub(crate) fn name(text: &str) -> StreamName {
    text.parse().unwrap()
}

/// An event whose data is a number.
pub(crate) fn number(n: u64) -> NewEvent {
    NewEvent::new(Event::new(Payload::Json(Bytes::from(n.to_string()))))
}

/// An event with a name whose data is a number.
pub(crate) fn named(event: &str, n: u64) -> NewEvent {
    let mut new = number(n);
    new.event.name = Some(event.into());
    new
}

pub(crate) fn keyed(key: &str, n: u64) -> NewEvent {
    NewEvent {
        key: Some(key.parse().unwrap()),
        ..number(n)
    }
}

/// The number that is an entry's data.
pub(crate) fn value(entry: &Entry) -> u64 {
    std::str::from_utf8(entry.event.data.raw())
        .unwrap()
        .parse()
        .unwrap()
}

pub(crate) fn values(entries: &[Arc<Entry>]) -> Vec<u64> {
    entries.iter().map(|entry| value(entry)).collect()
}

pub(crate) fn cursors(entries: &[Arc<Entry>]) -> Vec<Cursor> {
    entries.iter().map(|entry| entry.cursor).collect()
}

/// Publishes the numbers in order; all must be new.
pub(crate) async fn publish(
    log: &Arc<dyn Log>,
    stream: &StreamName,
    numbers: impl IntoIterator<Item = u64>,
) -> Vec<Cursor> {
    let events = numbers.into_iter().map(number).collect();
    let results = log.submit(stream, events).await.unwrap().await;
    let new = |appended: Appended| {
        assert!(!appended.duplicate);
        appended.cursor
    };
    results.into_iter().map(|result| new(result.unwrap())).collect()
}

/// A page forward with the largest limit.
pub(crate) async fn page(log: &Arc<dyn Log>, stream: &StreamName, from: From) -> Page {
    page_of(log, stream, from, shared::limits::PAGE_ENTRIES_MAX).await
}

/// A page forward.
pub(crate) async fn page_of(log: &Arc<dyn Log>, stream: &StreamName, from: From, limit: usize) -> Page {
    log.read(stream, &ReadRequest::forward(from, limit))
        .await
        .unwrap()
}

/// A page backward.
pub(crate) async fn page_back(
    log: &Arc<dyn Log>,
    stream: &StreamName,
    before: Option<Cursor>,
    since: Option<EntryId>,
    limit: usize,
) -> Page {
    let request = ReadRequest {
        direction: Direction::Backward { before, since },
        until: None,
        limit,
    };
    log.read(stream, &request).await.unwrap()
}

/// Reads forward page by page to the tail.
pub(crate) async fn pages_to_tail(
    log: &Arc<dyn Log>,
    stream: &StreamName,
    from: From,
    limit: usize,
) -> Vec<Page> {
    let mut pages = vec![page_of(log, stream, from, limit).await];
    while let Some(last) = pages.last()
        && !last.tail_reached
    {
        let from = From::Cursor(last.cursor);
        pages.push(page_of(log, stream, from, limit).await);
    }
    pages
}

/// Every entry of some pages, in order.
pub(crate) fn entries(pages: &[Page]) -> Vec<Arc<Entry>> {
    pages.iter().flat_map(|page| page.entries.clone()).collect()
}

/// Waits for `work` under the deadline of the suite.
pub(crate) async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, work).await {
        Ok(done) => done,
        Err(_) => panic!("not in time: {what}"),
    }
}

/// Tests of one fixture: `contract_tests!(Fixture: module { case, … } …)`.
macro_rules! contract_tests {
    ($fixture:ty: $($module:ident { $($case:ident),* $(,)? })*) => {
        $(mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::$module::$case::<$fixture>().await;
            })*
        })*
    };
}

/// The whole suite for one fixture.
macro_rules! contract_suite {
    ($fixture:ty) => {
        contract_tests! { $fixture:
            append {
                answers_with_positions_in_order,
                a_large_batch_keeps_its_order,
                submits_in_a_row_keep_their_order,
                many_publishers_at_once,
                every_part_of_an_event_comes_back,
                a_key_appends_once,
                a_key_counts_within_and_across_batches,
                one_key_from_many_publishers,
                a_key_is_forgotten_after_its_window,
                too_large_is_refused_alone,
            }
            retention {
                by_length,
                by_age,
                idle_streams_expire,
                first_rule_that_matches_counts,
            }
            read {
                absent_streams_read_as_empty,
                from_each_place,
                since_a_time,
                page_by_page,
                backward,
                backward_tells_what_is_gone,
                until_is_inclusive,
                limits_are_clamped,
                large_entries_come_on_smaller_pages,
            }
            verdict {
                every_position_is_continuous,
                trimmed_past_the_cursor,
                trimmed_from_the_start,
                trimmed_to_nothing,
                trimmed_between_pages,
                deleted_inside,
                deleted_behind_the_reader,
                last_one_deleted,
                deleted_stream,
                re_created,
                re_created_and_longer,
                rolled_back,
                rolled_back_and_gone_on,
                bare_ids,
            }
            raw {
                any_fields_are_an_event,
                ids_of_others,
                raw_and_own_entries_count_together,
                raw_entries_are_delivered_live,
            }
            subscribe {
                from_each_place,
                caught_up_is_told_once,
                until_ends_it,
                until_in_the_past_ends_at_once,
                filter_by_event,
                filter_by_pattern,
                filtered_events_move_the_cursor,
                merged_by_time,
                each_stream_on_its_own,
                too_many_streams,
                again_starts_anew,
                unsubscribed_is_silent,
                gap_at_the_start_is_told_first,
                bare_id_is_unverified_once,
            }
            join {
                history_to_live_under_load,
                resume_at_any_event,
                slow_reader_falls_off_the_ring,
                many_subscribers_many_streams,
                dropping_next_at_any_poll,
            }
            live {
                trimmed_past_a_slow_reader,
                deleted_inside_what_was_not_read,
                deleted_and_re_created,
                rolled_back_while_live,
                rolled_back_and_gone_on_while_live,
                unfollowed_after_its_linger,
            }
        }

        mod model {
            #[test]
            fn any_history_reads_as_the_model_says() {
                $crate::model::any_history_reads_as_the_model_says::<$fixture>();
            }
        }
    };
}
