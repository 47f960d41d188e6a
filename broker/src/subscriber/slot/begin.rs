//! Where a subscription begins.

use std::sync::Arc;

use shared::limits::PAGE_ENTRIES_MAX;
use shared::{Cursor, EntryId, Verdict};

use super::super::fetch::{self, Fetched};
use super::{PAGE_ENTRIES_FIRST, Slot};
use crate::hub::{Attachment, Epoch, Held};
use crate::{Filter, From, Joined, Log, Page, ReadError, ReadRequest};

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
                let (page, held) = fetch::cut(&slot.place.channel, Arc::new(page));
                // A place that was observed, so that who resumes there can be told whether anything is missing.
                let start = fetch::place_before(log, &stream, &page).await?;
                return Ok(slot.begin_with(&page, held, start, epoch));
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
            if let Fetched::Page {
                page,
                held,
                start,
                epoch,
            } = fetched
            {
                return Ok(slot.begin_with(&page, held, start, epoch));
            }
        };
        Ok((slot, joined))
    }

    /// Asks the log, because the channel's head may lag behind what the reader itself has just published.
    async fn begin_at_head(log: &Arc<dyn Log>, slot: Self) -> Result<(Self, Joined), ReadError> {
        let epoch = slot.place.channel.epoch();
        let page = log
            .read(slot.stream(), &ReadRequest::forward(From::Now, 1))
            .await?;
        let (page, held) = fetch::cut(&slot.place.channel, Arc::new(page));
        Ok(slot.begin_with(&page, held, page.head, epoch))
    }

    /// With the first page.
    fn begin_with(mut self, page: &Page, held: Held, start: Cursor, epoch: Epoch) -> (Self, Joined) {
        self.take_page(page, held, start, epoch, true);
        let joined = Joined {
            cursor: start,
            head: page.head,
            verdict: page.verdict,
        };
        (self, joined)
    }
}
