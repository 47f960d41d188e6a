//! Where a subscription begins.

use std::sync::Arc;

use shared::limits::PAGE_ENTRIES_MAX;
use shared::{Cursor, EntryId, Verdict};

use super::super::fetch::{self, Fetched};
use super::{PAGE_ENTRIES_FIRST, Slot};
use crate::hub::Attachment;
use crate::{Filter, From, Joined, Log, ReadError, ReadRequest};

impl Slot {
    /// Finds where the subscription begins. The answer is exact even if entries are added meanwhile.
    pub(in super::super) async fn begin(
        log: &Arc<dyn Log>,
        place: Attachment,
        head: Cursor,
        from: From,
        until: Option<EntryId>,
        filter: Filter,
    ) -> Result<(Self, Joined), ReadError> {
        let stream = place.channel.stream().clone();
        let mut slot = Self::new(place, until, filter);
        let cursor = match from {
            From::Cursor(cursor) => cursor,
            From::Start => Cursor::START,
            From::Last(0) => return Self::begin_at_head(log, slot).await,
            From::Last(count) if count > PAGE_ENTRIES_MAX => {
                fetch::start_of_last(log, &stream, count).await?
            }
            From::Now => return Self::begin_at_head(log, slot).await,
            From::Last(_) | From::Since(_) => {
                let epoch = slot.place.channel.epoch();
                let page = log
                    .read(&stream, &ReadRequest::forward(from, PAGE_ENTRIES_MAX))
                    .await?;
                // A place that was observed, so that who resumes there can be told whether anything is missing.
                let start = fetch::place_before(log, &stream, &page).await?;
                slot.take_page(&page, start, epoch, true);
                return Ok((
                    slot,
                    Joined {
                        cursor: start,
                        head: page.head,
                        verdict: page.verdict,
                    },
                ));
            }
        };
        let joined = loop {
            if let Some(join) = slot.place.channel.join(cursor, None) {
                metrics::counter!("weir_ring_hits_total").increment(1);
                slot.delivered = cursor;
                slot.fetched = cursor;
                slot.go_live(join);
                break Joined {
                    cursor,
                    head,
                    verdict: Verdict::Continuous,
                };
            }
            let limit = slot.place.channel.history.ask(PAGE_ENTRIES_FIRST.into());
            let fetched = fetch::read(log, &slot.place.channel, cursor, limit).await?;
            if let Fetched::Page { page, start, epoch } = fetched {
                slot.take_page(&page, start, epoch, true);
                break Joined {
                    cursor: start,
                    head: page.head,
                    verdict: page.verdict,
                };
            }
        };
        Ok((slot, joined))
    }

    /// Asks the log, because the channel's head may lag behind what the reader itself has just published.
    async fn begin_at_head(log: &Arc<dyn Log>, mut slot: Self) -> Result<(Self, Joined), ReadError> {
        let epoch = slot.place.channel.epoch();
        let page = log
            .read(slot.stream(), &ReadRequest::forward(From::Now, 1))
            .await?;
        slot.take_page(&page, page.head, epoch, true);
        Ok((
            slot,
            Joined {
                cursor: page.head,
                head: page.head,
                verdict: Verdict::Continuous,
            },
        ))
    }
}
