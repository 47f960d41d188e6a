//! A producer that knows nothing of Weir: `XADD` to Redis itself. What was not answered is not sent again.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use redis::aio::MultiplexedConnection;
use tokio::time::sleep;

use super::{PAUSE, Plan, Record};
use crate::events;
use crate::truth::connect_redis;

/// Entries that are added in one pipeline.
const PIPELINE: u32 = 32;

/// In which form a raw producer adds its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RawForm {
    /// With our field `d`.
    Ours,
    /// With fields of its own.
    Foreign,
}

/// Publishes by `XADD` to Redis itself until its quota is used up. What was not answered is not sent again.
pub async fn publish_raw(plan: Plan, socket: PathBuf, form: RawForm) -> Record {
    let mut record = Record::new(plan);
    let mut next = 0;
    let mut connection = None;
    loop {
        let quota = *record.plan.quota.borrow_and_update();
        if next == quota.events {
            if quota.last || record.plan.quota.changed().await.is_err() {
                return record;
            }
            continue;
        }
        let Some(open) = &mut connection else {
            record.connections += 1;
            connection = connect_redis(&socket).await.ok();
            sleep(PAUSE).await;
            continue;
        };
        let batch = next..quota.events.min(next + PIPELINE);
        next = batch.end;
        match add(open, &record.plan, form, batch.clone()).await {
            Ok(ids) => {
                for (number, id) in batch.zip(ids) {
                    record.acknowledge(number, id.parse().unwrap());
                }
            }
            Err(_) => {
                record.unknown += batch.len() as u64;
                record
                    .plan
                    .published
                    .fetch_add(batch.len() as u64, Ordering::Relaxed);
                connection = None;
            }
        }
    }
}

async fn add(
    connection: &mut MultiplexedConnection,
    plan: &Plan,
    form: RawForm,
    numbers: std::ops::Range<u32>,
) -> redis::RedisResult<Vec<String>> {
    let mut pipeline = redis::pipe();
    for number in numbers {
        let add = pipeline.cmd("XADD").arg(events::key(&plan.stream)).arg("*");
        match form {
            RawForm::Ours => add.arg("d").arg(events::json(plan.number, number)),
            RawForm::Foreign => {
                let pad = events::pad(plan.number, number);
                add.arg(&[
                    ("p", plan.number.to_string()),
                    ("n", number.to_string()),
                    ("pad", pad),
                ])
            }
        };
    }
    pipeline.query_async(connection).await
}
