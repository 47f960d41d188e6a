//! Page reads that are under way, so that many subscribers who need the same page cost one read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use shared::{Cursor, StreamName};

use super::{Channel, Epoch, lock};
use crate::{From, Log, Page, ReadError, ReadRequest};

type PageRead = BoxFuture<'static, Result<Arc<Page>, ReadError>>;

/// Of which stream, when, from where, and how many entries at the most.
type Asked = (StreamName, Epoch, Cursor, usize);

/// Abandoned reads are cleared out when there are this many.
const READS_KEPT_MAX: usize = 1_024;

/// The reads under way, by what they ask for.
#[derive(Default)]
pub(crate) struct Pages {
    reads: Mutex<HashMap<Asked, WeakShared<PageRead>>>,
}

impl Pages {
    /// Reads the page after `cursor`, together with everyone who asks for it while it is being read. `epoch` is that of
    /// the channel by now: what began to be read in another one is not shared.
    pub(crate) fn read(
        log: &Arc<dyn Log>,
        channel: &Channel,
        epoch: Epoch,
        cursor: Cursor,
        limit: usize,
    ) -> Shared<PageRead> {
        let mut reads = lock(&log.hub().pages().reads);
        let key = (channel.stream().clone(), epoch, cursor, limit);
        if let Some(read) = reads.get(&key).and_then(WeakShared::upgrade)
            && read.peek().is_none()
        {
            metrics::counter!("weir_shared_page_reads_total").increment(1);
            return read;
        }
        if reads.len() >= READS_KEPT_MAX {
            reads.retain(|_, read| read.upgrade().is_some_and(|read| read.peek().is_none()));
        }
        metrics::counter!("weir_catch_up_reads_total").increment(1);
        let (log, asked) = (log.clone(), key.clone());
        let read = async move {
            let (stream, _, cursor, limit) = &asked;
            let page = log
                .read(stream, &ReadRequest::forward(From::Cursor(*cursor), *limit))
                .await;
            lock(&log.hub().pages().reads).remove(&asked);
            page.map(Arc::new)
        }
        .boxed()
        .shared();
        if let Some(weak) = read.downgrade() {
            reads.insert(key, weak);
        }
        read
    }
}
