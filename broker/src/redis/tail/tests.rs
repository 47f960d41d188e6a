//! The tail against a real server: what reaches a channel, and when a channel is told that it does not join any more.

#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Weak};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cmd;
use shared::limits::TAIL_BROADCAST_STREAMS_MIN;
use shared::{Cursor, EntryId};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::Tail;
use crate::hub::{Attachment, Bell, Pull};
use crate::redis::connect::Connector;
use crate::redis::keys::KeyTemplate;
use crate::redis::topology::{Guide, NodeId};
use crate::redis::{RedisConfig, TailMode};
use crate::testing::RedisServer;
use crate::{Channel, Feed, Hub, HubConfig};

const DEADLINE: Duration = Duration::from_secs(20);

struct Rig {
    server: RedisServer,
    hub: Arc<Hub>,
    _feed: Arc<TailFeed>,
    _stop: DropGuard,
}

struct TailFeed(Tail);

impl Feed for TailFeed {
    fn watch(&self, channel: &Arc<Channel>) {
        self.0.watch(channel, false);
    }
    fn unwatch(&self, channel: &Arc<Channel>) {
        self.0.unwatch(channel);
    }
}

impl Rig {
    async fn start(mode: TailMode) -> Self {
        let server = RedisServer::start_with_args(&["--appendonly", "yes"]).await;
        let stop = CancellationToken::new();
        let connector = Connector::new(&RedisConfig::new(server.url())).unwrap();
        let keys = KeyTemplate::parse("weir:{NAME}").unwrap();
        // There is but one node.
        let guide = Guide::new(Weak::new(), NodeId(0), false);
        let tail = Tail::start(connector, guide, keys, mode, &TaskTracker::new(), stop.clone());
        let feed = Arc::new(TailFeed(tail));
        let weak: Weak<TailFeed> = Arc::downgrade(&feed);
        let hub = Hub::new(HubConfig::default(), weak);
        Self {
            server,
            hub,
            _feed: feed,
            _stop: stop.drop_guard(),
        }
    }

    async fn follow(&self, name: &str) -> Follower {
        let bell = Arc::<Bell>::default();
        let place = self.hub.attach(&name.parse().unwrap(), &bell, 0, false).unwrap();
        timeout(DEADLINE, place.channel.opened()).await.unwrap();
        let number = place
            .channel
            .join(place.channel.head().unwrap(), Some(place.channel.epoch()))
            .unwrap()
            .number;
        Follower {
            place,
            bell,
            number,
            ids: Vec::new(),
        }
    }
}

#[tokio::test]
async fn what_comes_fast_to_many_is_fetched_when_they_are_told() {
    const EVENTS: usize = 400;
    let rig = Rig::start(TailMode::Auto).await;
    let mut followers = Vec::new();
    for _ in 0..60 {
        followers.push(rig.follow("s").await);
    }
    let mut connection = rig.server.connection().await;
    let reads = async |connection: &mut MultiplexedConnection| -> usize {
        let stats: String = cmd("INFO")
            .arg("commandstats")
            .query_async(connection)
            .await
            .unwrap();
        let of = |command: &str| {
            let line = stats.lines().find(|line| line.starts_with(command))?;
            line.split_once("calls=")?.1.split(',').next()?.parse().ok()
        };
        of("cmdstat_xread:").unwrap_or(0)
    };
    let mut published = 0;
    let few_reads = async {
        loop {
            let before = reads(&mut connection).await;
            for _ in 0..EVENTS {
                let add = cmd("XADD")
                    .arg("weir:{s}")
                    .arg("*")
                    .arg("d")
                    .arg(published)
                    .take();
                let _: String = add.query_async(&mut connection).await.unwrap();
                published += 1;
            }
            let reads = reads(&mut connection).await - before;
            // All of it comes, and nothing twice.
            for follower in &mut followers {
                let ids = follower.read(published).await;
                assert!(ids.windows(2).all(|pair| pair[0].id < pair[1].id));
                assert_eq!(ids.last().unwrap().ordinal.unwrap().0, published as u64);
            }
            // On a machine that is busy with something else they may come too seldom for that.
            if reads * 8 < EVENTS {
                return;
            }
        }
    };
    timeout(DEADLINE, few_reads).await.unwrap();
}

/// Takes everything from a channel, as a live subscriber does.
struct Follower {
    place: Attachment,
    bell: Arc<Bell>,
    number: u64,
    ids: Vec<Cursor>,
}

impl Follower {
    /// Waits for the bell.
    async fn rung(&self) {
        std::future::poll_fn(|cx| self.bell.poll_rung(cx)).await;
        self.bell.take(1).for_each(drop);
    }

    /// Waits until `count` entries have come. Fails if the channel says that it does not join.
    async fn read(&mut self, count: usize) -> &[Cursor] {
        timeout(DEADLINE, async {
            while self.ids.len() < count {
                assert!(self.take(), "the channel was invalidated after {:?}", self.ids);
                if self.ids.len() < count {
                    self.rung().await;
                }
            }
        })
        .await
        .unwrap_or_else(|_| panic!("only {} of {count} entries came", self.ids.len()));
        &self.ids
    }

    /// Waits until the channel has been invalidated, and goes on from its new head.
    async fn invalidated(&mut self) -> Cursor {
        timeout(DEADLINE, async {
            while self.take() {
                self.rung().await;
            }
        })
        .await
        .unwrap();
        let head = self.place.channel.head().unwrap();
        self.number = self
            .place
            .channel
            .join(head, Some(self.place.channel.epoch()))
            .unwrap()
            .number;
        head
    }

    fn take(&mut self) -> bool {
        let ids = &mut self.ids;
        match self
            .place
            .channel
            .pull(self.number, usize::MAX, |entry| ids.push(entry.cursor))
        {
            Pull::Taken { number, .. } => self.number = number,
            Pull::Behind => return false,
        }
        true
    }
}

async fn add(connection: &mut MultiplexedConnection, name: &str, count: usize) -> Vec<EntryId> {
    let mut pipe = redis::pipe();
    for n in 0..count {
        pipe.cmd("XADD")
            .arg(format!("weir:{{{name}}}"))
            .arg("*")
            .arg("d")
            .arg(n);
    }
    let ids: Vec<String> = pipe.query_async(connection).await.unwrap();
    ids.iter().map(|id| id.parse().unwrap()).collect()
}

async fn run(connection: &mut MultiplexedConnection, words: &[&str]) {
    let mut command = cmd(words[0]);
    command.arg(&words[1..]);
    command.exec_async(connection).await.unwrap();
}

fn assert_follows(cursors: &[Cursor], ids: &[EntryId], first_ordinal: u64) {
    assert_eq!(cursors.iter().map(|c| c.id).collect::<Vec<_>>(), ids);
    let ordinals: Vec<u64> = cursors.iter().map(|c| c.ordinal.unwrap().0).collect();
    let expected: Vec<u64> = (first_ordinal..first_ordinal + ids.len() as u64).collect();
    assert_eq!(ordinals, expected);
}

async fn entries_arrive_in_order(mode: TailMode) {
    let rig = Rig::start(mode).await;
    let mut connection = rig.server.connection().await;
    add(&mut connection, "old", 3).await;
    let (mut new, mut old) = (rig.follow("new").await, rig.follow("old").await);
    let ids = add(&mut connection, "new", 3_000).await;
    assert_follows(new.read(3_000).await, &ids, 1);
    for round in 0..20 {
        let id = add(&mut connection, "old", 1).await;
        assert_follows(&old.read(round + 1).await[round..], &id, 4 + round as u64);
    }
}

#[tokio::test]
async fn entries_arrive_in_order_by_tracking() {
    entries_arrive_in_order(TailMode::Auto).await;
}

#[tokio::test]
async fn entries_arrive_in_order_by_blocking() {
    entries_arrive_in_order(TailMode::Blocking).await;
}

async fn what_does_not_join_is_found(mode: TailMode) {
    let rig = Rig::start(mode).await;
    let mut connection = rig.server.connection().await;
    let key = "weir:{x}";
    let ids = add(&mut connection, "x", 10).await;
    let mut follower = rig.follow("x").await;

    // Trimmed, but not past what was read: nothing happens, and what follows arrives.
    run(&mut connection, &["XTRIM", key, "MAXLEN", "0"]).await;
    let more = add(&mut connection, "x", 1).await;
    assert_follows(follower.read(1).await, &more, 11);

    // Added and trimmed away before it could be read.
    let mut pipe = redis::pipe();
    pipe.atomic();
    for _ in 0..5 {
        pipe.cmd("XADD").arg(key).arg("*").arg("d").arg(1);
    }
    pipe.cmd("XTRIM").arg(key).arg("MAXLEN").arg(2);
    pipe.exec_async(&mut connection).await.unwrap();
    let head = follower.invalidated().await;
    assert_eq!(head.ordinal.unwrap().0, 16);

    // Added and deleted singly: the counters show it.
    let (keep, gone) = ("99999999999999-1", "99999999999999-2");
    let mut pipe = redis::pipe();
    pipe.atomic();
    pipe.cmd("XADD").arg(key).arg(keep).arg("d").arg(1);
    pipe.cmd("XADD").arg(key).arg(gone).arg("d").arg(1);
    pipe.cmd("XDEL").arg(key).arg(gone);
    pipe.exec_async(&mut connection).await.unwrap();
    let head = follower.invalidated().await;
    assert_eq!(head, Cursor::new(gone.parse().unwrap(), 18));

    // Deleted and made anew.
    run(&mut connection, &["DEL", key]).await;
    let head = follower.invalidated().await;
    assert_eq!(head, Cursor::START);
    follower.ids.clear();
    let again = add(&mut connection, "x", 2).await;
    assert!(again[0] < keep.parse().unwrap() && again[0] > ids[0]);
    assert_follows(follower.read(2).await, &again, 1);

    // Another type of value in its place, then a stream again.
    run(&mut connection, &["SET", key, "text"]).await;
    assert_eq!(follower.invalidated().await, Cursor::START);
    run(&mut connection, &["DEL", key]).await;
    follower.ids.clear();
    let again = add(&mut connection, "x", 2).await;
    assert_follows(follower.read(2).await, &again, 1);
}

#[tokio::test]
async fn what_does_not_join_is_found_by_tracking() {
    what_does_not_join_is_found(TailMode::Auto).await;
}

#[tokio::test]
async fn what_does_not_join_is_found_by_blocking() {
    what_does_not_join_is_found(TailMode::Blocking).await;
}

/// A reader has read what was rolled back before the tail had seen it. To the tail nothing has happened.
async fn readers_ahead_are_not_left_behind(mode: TailMode) {
    let rig = Rig::start(mode).await;
    let mut connection = rig.server.connection().await;
    let key = "weir:{x}";
    add(&mut connection, "x", 3).await;
    let mut follower = rig.follow("x").await;
    let channel = follower.place.channel.clone();
    let head = channel.head().unwrap();
    let ahead = |ms| Cursor::new(EntryId::new(head.id.ms + ms, 0), 4);
    let join = |cursor| channel.join(cursor, Some(channel.epoch())).unwrap();
    join(ahead(1_000));
    assert_eq!(follower.invalidated().await, head, "found by the next check");
    assert!(!channel.has_ahead());

    // Something is done to the key that the tail hears of at once.
    join(ahead(1_000));
    let dump: Vec<u8> = cmd("DUMP").arg(key).query_async(&mut connection).await.unwrap();
    let mut restore = cmd("RESTORE");
    restore.arg(key).arg(0).arg(dump).arg("REPLACE");
    restore.exec_async(&mut connection).await.unwrap();
    assert_eq!(follower.invalidated().await, head);

    // Another entry is the fourth.
    follower.ids.clear();
    join(ahead(1_000));
    let id = format!("{}-0", head.id.ms + 2_000);
    run(&mut connection, &["XADD", key, &id, "d", "1"]).await;
    assert_eq!(follower.invalidated().await, ahead(2_000));

    // And one who has read what is there is left in peace.
    follower.ids.clear();
    let there = Cursor::new(EntryId::new(head.id.ms + 3_000, 0), 5);
    join(there);
    run(&mut connection, &["XADD", key, &there.id.to_string(), "d", "1"]).await;
    assert_eq!(follower.read(1).await, [there]);
    assert!(!channel.has_ahead());
}

#[tokio::test]
async fn readers_ahead_are_not_left_behind_by_tracking() {
    readers_ahead_are_not_left_behind(TailMode::Auto).await;
}

#[tokio::test]
async fn readers_ahead_are_not_left_behind_by_blocking() {
    readers_ahead_are_not_left_behind(TailMode::Blocking).await;
}

#[tokio::test]
async fn a_restart_of_the_server_loses_and_doubles_nothing() {
    let rig = Rig::start(TailMode::Auto).await;
    let mut connection = rig.server.connection().await;
    let mut follower = rig.follow("x").await;
    let mut ids = add(&mut connection, "x", 100).await;
    for _ in 0..3 {
        rig.server.kill();
        rig.server.restart().await;
        let mut connection = rig.server.connection().await;
        ids.extend(add(&mut connection, "x", 100).await);
    }
    assert_follows(follower.read(ids.len()).await, &ids, 1);
}

#[tokio::test]
async fn flushed_streams_are_noticed_and_a_wrong_type_among_many_harms_only_itself() {
    let rig = Rig::start(TailMode::Auto).await;
    let mut connection = rig.server.connection().await;
    let mut followers = Vec::new();
    for n in 0..50 {
        add(&mut connection, &format!("s:{n}"), 1).await;
        followers.push(rig.follow(&format!("s:{n}")).await);
    }
    run(&mut connection, &["SET", "weir:{s:7}", "text"]).await;
    for (n, follower) in followers.iter_mut().enumerate().filter(|(n, _)| *n != 7) {
        let id = add(&mut connection, &format!("s:{n}"), 1).await;
        assert_follows(follower.read(1).await, &id, 2);
    }
    run(&mut connection, &["FLUSHALL"]).await;
    for follower in &mut followers {
        assert_eq!(follower.invalidated().await, Cursor::START);
    }
}

#[tokio::test]
async fn large_entries_are_read_a_few_at_a_time() {
    let rig = Rig::start(TailMode::Auto).await;
    let mut connection = rig.server.connection().await;
    let follower = rig.follow("big").await;
    let data = vec![b'x'; 512 * 1024];
    let mut ids = Vec::new();
    for _ in 0..40 {
        let mut command = cmd("XADD");
        command.arg("weir:{big}").arg("*").arg("d").arg(&data);
        let id: String = command.query_async(&mut connection).await.unwrap();
        ids.push(id.parse().unwrap());
    }
    // The ring holds fewer than were published, so only their order and the last one can be asked for here.
    timeout(DEADLINE, async {
        while follower.place.channel.head().map(|head| head.id) != ids.last().copied() {
            follower.rung().await;
        }
    })
    .await
    .unwrap();
}

/// Waits until the tail's connection hears broadcasts, or does not any more (flag `B` of `CLIENT LIST`).
async fn hears_broadcasts(connection: &mut MultiplexedConnection, wanted: bool) {
    timeout(DEADLINE, async {
        loop {
            let list: String = cmd("CLIENT").arg("LIST").query_async(connection).await.unwrap();
            let flags = |line: &str| {
                line.split(' ')
                    .find_map(|word| word.strip_prefix("flags=").map(str::to_owned))
            };
            let tracking: Vec<_> = list
                .lines()
                .filter_map(flags)
                .filter(|flags| flags.contains('t'))
                .collect();
            if tracking.len() == 1 && tracking[0].contains('B') == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("broadcasts: not {wanted}"));
}

/// However the bell is arranged, and while that changes, nothing is missed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_streams_are_heard_of_at_once_while_that_pays() {
    let rig = Rig::start(TailMode::Auto).await;
    let mut connection = rig.server.connection().await;
    let mut first = rig.follow("s0").await;
    hears_broadcasts(&mut connection, false).await;
    let (added, mut others) = (&mut Vec::new(), Vec::new());
    for n in 1..TAIL_BROADCAST_STREAMS_MIN {
        if n % 10 == 0 {
            added.extend(add(&mut connection, "s0", 1).await);
        }
        others.push(rig.follow(&format!("s{n}")).await);
    }
    hears_broadcasts(&mut connection, true).await;
    added.extend(add(&mut connection, "s0", 1).await);
    assert_follows(first.read(added.len()).await, added, 1);
    let ids = add(&mut connection, "s500", 2).await;
    assert_follows(others[499].read(2).await, &ids, 1);

    // Streams that nobody follows: soon nearly all that rings is of them.
    let mut round = 0;
    while timeout(
        Duration::from_millis(50),
        hears_broadcasts(&mut connection, false),
    )
    .await
    .is_err()
    {
        let mut pipe = redis::pipe();
        for n in 0..500 {
            pipe.cmd("XADD")
                .arg(format!("weir:{{strange{n}}}"))
                .arg("*")
                .arg("d")
                .arg(round);
        }
        pipe.exec_async(&mut connection).await.unwrap();
        added.extend(add(&mut connection, "s0", 1).await);
        round += 1;
        assert!(round < 100, "{round} rounds for nothing");
    }
    added.extend(add(&mut connection, "s0", 1).await);
    assert_follows(first.read(added.len()).await, added, 1);
    let ids = add(&mut connection, "s7", 1).await;
    assert_follows(others[6].read(1).await, &ids, 1);
}
