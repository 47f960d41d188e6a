//! Pages of large entries, verdicts that must be counted, reads while appends go on.

use broker::testing::RedisServer;
use broker::{Direction, From, Log, ReadRequest, RedisConfig, RedisLog};
use bytes::Bytes;
use futures_util::FutureExt;
use shared::limits::LOG_PAGE_BYTES_MAX;
use shared::{Ordinal, Verdict};

use crate::support::*;

#[tokio::test]
async fn large_entries_make_short_pages() {
    const ENTRIES: u64 = 60;
    const BYTES: usize = 500_000;
    let server = RedisServer::start().await;
    let log = log(server.url()).await;
    let stream = name("large");
    for n in 0..ENTRIES {
        let data = format!("\"{n}{}\"", "x".repeat(BYTES));
        let appended = log.append(&stream, bytes(Bytes::from(data))).await.unwrap();
        assert_eq!(appended.cursor.ordinal, Some(Ordinal(n + 1)));
    }
    let mut from = From::Start;
    let (mut read, mut pages) = (0, 0);
    loop {
        let page = log
            .read(&stream, &ReadRequest::forward(from, 1_000))
            .await
            .unwrap();
        assert_eq!(page.verdict, Verdict::Continuous);
        // A page that just holds the last entry need not know that it does.
        assert!(!page.entries.is_empty() || page.tail_reached);
        for entry in &page.entries {
            read += 1;
            assert_eq!(entry.cursor.ordinal, Some(Ordinal(read)));
        }
        let held: usize = page.entries.iter().map(|entry| entry.event.size_bytes()).sum();
        assert!(
            pages == 0 || held <= LOG_PAGE_BYTES_MAX + 2 * BYTES,
            "{held} bytes"
        );
        pages += 1;
        if page.tail_reached {
            break;
        }
        from = From::Cursor(page.cursor);
    }
    assert_eq!(read, ENTRIES);
    assert!(pages > 2, "{pages} pages");
    let back = Direction::Backward {
        before: None,
        since: None,
    };
    let back = ReadRequest {
        direction: back,
        until: None,
        limit: 1_000,
    };
    let page = log.read(&stream, &back).await.unwrap();
    assert!(!page.tail_reached && (page.entries.len() as u64) < ENTRIES);
    assert_eq!(page.entries[0].cursor.ordinal, Some(Ordinal(ENTRIES)));
}

/// A reader that catches up asks for little else than entries.
#[tokio::test]
async fn small_entries_take_few_commands() {
    const ENTRIES: usize = 10_000;
    let server = RedisServer::start().await;
    let log = log(server.url()).await;
    let stream = name("log:api");
    let data = Bytes::from(format!("\"{}\"", "x".repeat(200)));
    let events = vec![bytes(data); ENTRIES];
    log.submit(&stream, events).await.unwrap().await;
    // Now it is known how large they are.
    let (mut page, mut pages) = (
        log.read(&stream, &ReadRequest::forward(From::Start, 1_000))
            .await
            .unwrap(),
        0,
    );
    run(&server, "CONFIG RESETSTAT").await;
    while !page.tail_reached {
        let next = ReadRequest::forward(From::Cursor(page.cursor), 1_000);
        page = log.read(&stream, &next).await.unwrap();
        pages += 1;
    }
    let stats: String = raw(&server, redis::cmd("INFO").arg("commandstats")).await;
    let calls = |command: &str| {
        let line = stats
            .lines()
            .find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
    };
    assert!(calls("exec") <= 2 * pages, "{pages} pages: {stats}");
    assert_eq!(calls("ping"), 0, "{stats}");
}

#[tokio::test]
async fn a_verdict_that_must_be_counted() {
    const ENTRIES: u64 = 5_000;
    let server = RedisServer::start().await;
    let log = log(server.url()).await;
    let stream = name("log:api");
    let receipt = log
        .submit(&stream, (0..ENTRIES).map(number).collect())
        .await
        .unwrap();
    let at: Vec<_> = receipt
        .await
        .into_iter()
        .map(|result| result.unwrap().cursor)
        .collect();
    // The reader's own entry is gone, and two that it has not read.
    for index in [1_000, 3_000, 4_000] {
        run(&server, &format!("XDEL {} {}", key(&stream), at[index].id)).await;
    }
    let page = log
        .read(&stream, &ReadRequest::forward(From::Cursor(at[1_000]), 10))
        .await
        .unwrap();
    assert_eq!(page.verdict, Verdict::Gap { lost: 2 });
    assert_eq!(page.entries.len(), 10);
    assert_eq!(page.entries[0].id(), at[1_001].id);
    assert_eq!(numbers(&log, &stream).await.len() as u64, ENTRIES - 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_whole_while_the_stream_is_trimmed() {
    let server = RedisServer::start().await;
    let log = log(server.url()).await;
    let stream = name("log:api");
    log.submit(&stream, (0..4_000).map(number).collect())
        .await
        .unwrap()
        .await;
    let mut next: u64 = 4_000;
    let trims = async {
        for kept in (10..400).rev() {
            run(&server, &format!("XTRIM {} MAXLEN = {}", key(&stream), kept * 10)).await;
            log.append(&stream, number(next)).await.unwrap();
            next += 1;
        }
    };
    let reads = async {
        let (mut from, mut expected, mut lost) = (From::Start, 0, 0);
        loop {
            let page = log.read(&stream, &ReadRequest::forward(from, 300)).await.unwrap();
            match page.verdict {
                Verdict::Continuous => {}
                Verdict::Gap { lost: gone } => {
                    expected += gone;
                    lost += gone;
                }
                other => panic!("{other:?}"),
            }
            for entry in &page.entries {
                let value: u64 = std::str::from_utf8(entry.event.data.raw())
                    .unwrap()
                    .parse()
                    .unwrap();
                assert_eq!(value, expected, "nothing is missing without a word");
                assert_eq!(entry.cursor.ordinal, Some(Ordinal(value + 1)));
                expected += 1;
            }
            if expected >= 4_390 {
                return lost;
            }
            from = From::Cursor(page.cursor);
            tokio::task::yield_now().await;
        }
    };
    in_time("the reader", async { tokio::join!(trims, reads) }).await;
}

/// A read that nobody waits for any more leaves an answer on its way, which must not be taken for the next one's.
#[tokio::test]
async fn a_read_that_is_given_up_spoils_no_other() {
    let server = RedisServer::start().await;
    let log = RedisLog::connect(RedisConfig {
        read_connections: 1,
        ..config(server.url())
    })
    .await
    .unwrap();
    let (one, other) = (name("one"), name("other"));
    log.append(&one, number(1)).await.unwrap();
    log.append(&other, number(2)).await.unwrap();
    for _ in 0..50 {
        let page = ReadRequest::forward(From::Start, 10);
        assert!(log.read(&one, &page).now_or_never().is_none());
        assert_eq!(numbers(&log, &other).await, [2]);
    }
}
