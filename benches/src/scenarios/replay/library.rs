//! The loop as an application would have it, with the client library.

use anyhow::{bail, ensure};
use broker::testing::RedisServer;
use redis::Value;

/// Reads all of `key`, page after page.
pub(super) async fn read(redis: &RedisServer, key: &str, page: usize, events: u64) -> anyhow::Result<()> {
    let mut connection = redis.connection().await;
    let (mut from, mut seen) = ("-".to_owned(), 0);
    loop {
        let mut command = redis::cmd("XRANGE");
        command.arg(key).arg(&from).arg("+").arg("COUNT").arg(page);
        let Value::Array(entries) = command.query_async(&mut connection).await? else {
            bail!("XRANGE answered with something else than an array")
        };
        let Some(Value::Array(last)) = entries.last() else {
            break;
        };
        let Some(Value::BulkString(id)) = last.first() else {
            bail!("an entry without an ID")
        };
        from = format!("({}", String::from_utf8_lossy(id));
        seen += entries.len() as u64;
    }
    ensure!(seen == events, "{seen} of {events} entries read");
    Ok(())
}
