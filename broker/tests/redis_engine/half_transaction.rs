//! A SIGKILL that leaves half a transaction in the append-only file of Redis 7.0. Everything that is written behind it
//! becomes part of that transaction: at the next start it is carried out together with the first one that ends, and
//! what follows none is lost, although it was acknowledged. Weir cannot prevent either, but nobody who read meanwhile
//! may be left in the dark.

use std::sync::Arc;

use broker::testing::RedisServer;
use broker::{From, Log, Page, ReadRequest, RedisLog};
use shared::{Cursor, StreamName, Verdict};

use crate::support::*;

/// Bytes from the end of the file that lie within the last command of the transaction.
const WITHIN_A_COMMAND: u64 = 30;

/// Number 0 is in the log, and half of a transaction of 1, 2 and 3 is in the file.
async fn half_written(stream: &StreamName) -> (RedisServer, Arc<RedisLog>) {
    let server = RedisServer::start_with_args(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let log = log(server.url()).await;
    log.append(stream, number(0)).await.unwrap();
    append_together(&log, stream, &[1, 2, 3]).await;
    server.kill();
    cut_the_file(&server, WITHIN_A_COMMAND);
    restarted(&server, &log).await;
    assert_eq!(numbers(&log, stream).await, [0]);
    (server, log)
}

/// Appends in one transaction; returns the cursor of the last.
async fn append_together(log: &RedisLog, stream: &StreamName, which: &[u64]) -> Cursor {
    let events = which.iter().map(|n| number(*n)).collect();
    let outcomes = log.submit(stream, events).await.unwrap().await;
    outcomes.into_iter().next_back().unwrap().unwrap().cursor
}

async fn restarted(server: &RedisServer, log: &RedisLog) {
    server.restart().await;
    until("the log to be back", async || log.check().await.is_ok()).await;
}

async fn resumed(log: &RedisLog, stream: &StreamName, at: Cursor) -> Page {
    let request = ReadRequest::forward(From::Cursor(at), 10);
    log.read(stream, &request).await.unwrap()
}

/// Whatever this version of Redis did, the verdict is what the log shows.
#[tokio::test]
async fn entries_that_come_back_below_a_reader_are_told_as_a_reset() {
    let stream = name("doc:1");
    let (server, log) = half_written(&stream).await;
    let read = append_together(&log, &stream, &[4, 5]).await;
    assert_eq!(read.ordinal.unwrap().0, 3);
    restarted(&server, &log).await;
    let expected = match numbers(&log, &stream).await.as_slice() {
        [0, 4, 5] => Verdict::Continuous,
        // Nothing was removed, so this is another history than the one that was read.
        [0, _, .., 4, 5] => Verdict::Reset,
        other => panic!("{other:?}"),
    };
    let page = resumed(&log, &stream, read).await;
    assert_eq!((page.verdict, page.entries.len()), (expected, 0));
}

#[tokio::test]
async fn an_acknowledged_entry_that_redis_loses_is_told_as_a_reset() {
    let stream = name("doc:1");
    let (server, log) = half_written(&stream).await;
    let read = log.append(&stream, number(4)).await.unwrap().cursor;
    restarted(&server, &log).await;
    let expected = match numbers(&log, &stream).await.as_slice() {
        [0, 4] => Verdict::Continuous,
        [0] => Verdict::Reset,
        other => panic!("{other:?}"),
    };
    assert_eq!(resumed(&log, &stream, read).await.verdict, expected);
}

fn cut_the_file(server: &RedisServer, bytes: u64) {
    let folder = server.folder().join("appendonlydir");
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    let path = files
        .filter(|path| path.to_string_lossy().ends_with(".incr.aof"))
        .max()
        .unwrap();
    let file = std::fs::File::options().write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length - bytes).unwrap();
}
