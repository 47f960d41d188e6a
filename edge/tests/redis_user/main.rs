//! The user that the reference gives Weir in Redis: everything works with it, it may do nothing else, and there is nothing in it
//! that is not needed.

#![allow(clippy::unwrap_used)]

mod scenario;

use std::collections::BTreeMap;
use std::time::Duration;

use broker::testing::{RedisCluster, RedisServer, SentinelGroup};
use broker::{Durability, From, Log, NewEvent, ReadRequest, RedisConfig, RedisLog, TailMode};
use redis::Value;
use shared::limits::READ_CONNECTION_TRUST;
use tokio::time::{Instant, sleep};

use scenario::{DEADLINE, config, event, everything, keyed, name, soon};

const REFERENCE: &str = include_str!("../../docs/configuration.md");

/// The words of the `ACL SETUSER` lines of the reference, in order: for every server, for newer ones, for each node of a cluster, for
/// Sentinels.
fn lines() -> [Vec<String>; 4] {
    let lines: Vec<Vec<String>> = REFERENCE
        .lines()
        .filter(|line| line.starts_with("ACL SETUSER "))
        .map(|line| {
            line.split(' ')
                .map(|word| word.replace("PASSWORD", "secret"))
                .collect()
        })
        .collect();
    lines.try_into().expect("four lines")
}

/// The commands that a line allows.
fn allowed(line: &[String]) -> Vec<String> {
    line.iter()
        .filter_map(|word| word.strip_prefix('+'))
        .map(str::to_owned)
        .collect()
}

async fn ask(server: &RedisServer, words: &[&str]) -> Value {
    let command = redis::cmd(words[0]).arg(&words[1..]).take();
    let answer = command.query_async(&mut server.connection().await).await;
    answer.unwrap_or_else(|error| panic!("{words:?}: {error}"))
}

async fn set_user(server: &RedisServer, line: &[String]) {
    let words: Vec<&str> = line.iter().map(String::as_str).collect();
    ask(server, &words).await;
}

/// Whether the server is one to which the second line belongs.
async fn is_newer(server: &RedisServer) -> bool {
    let known = ask(server, &["COMMAND", "INFO", "WAITAOF"]).await;
    !matches!(known, Value::Array(about) if about.iter().all(|about| *about == Value::Nil))
}

/// How often each command was called, by whomever.
async fn calls(server: &RedisServer) -> BTreeMap<String, u64> {
    let command = redis::cmd("INFO").arg("commandstats").take();
    let answer = command.query_async(&mut server.connection().await).await;
    let text: String = answer.unwrap_or_else(|error| panic!("{error}"));
    let call = |line: &str| {
        let (name, stats) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        Some((name.to_owned(), stats.split(',').next()?.parse().ok()?))
    };
    text.lines()
        .filter_map(call)
        .filter(|(_, calls)| *calls > 0)
        .collect()
}

/// What was refused to anybody.
async fn refused(server: &RedisServer) -> Vec<Value> {
    match ask(server, &["ACL", "LOG"]).await {
        Value::Array(refused) => refused,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_needs_each_of_its_permissions_and_no_other() {
    let server = RedisServer::start().await;
    let [mut line, newer, ..] = lines();
    set_user(&server, &line).await;
    let newer_too = is_newer(&server).await;
    if newer_too {
        set_user(&server, &newer).await;
        line.extend(newer);
    }
    ask(&server, &["CONFIG", "RESETSTAT"]).await;
    let url = format!("{}?user=weir&pass=secret&db=1", server.url());
    let log = RedisLog::connect(config(url.clone())).await.unwrap();
    everything(&log, &name("doc:1")).await;
    let blocking = RedisConfig {
        tail: TailMode::Blocking,
        ..config(url)
    };
    everything(&RedisLog::connect(blocking).await.unwrap(), &name("doc:2")).await;
    if newer_too {
        let mut new = NewEvent::new(event("disk"));
        new.durability = Some(Durability::Fsync(0));
        // Whether there is a file or not, it was asked.
        let _ = log.append(&name("doc:1"), new).await;
    }

    // A connection that has done nothing for so long is asked whether it still is one.
    sleep(READ_CONNECTION_TRUST).await;
    log.read(&name("doc:1"), &ReadRequest::forward(From::Start, 1))
        .await
        .unwrap();
    let wanted = allowed(&line);
    let deadline = Instant::now() + DEADLINE;
    let mut looks = 0;
    loop {
        let mut calls = calls(&server).await;
        // Our own.
        if calls.get("info") == Some(&looks) {
            calls.remove("info");
        }
        looks += 1;
        let missing: Vec<&String> = wanted
            .iter()
            .filter(|command| !calls.contains_key(*command))
            .collect();
        if missing.is_empty() {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "nobody has used {missing:?}: not needed?"
        );
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(refused(&server).await, [], "what was refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_may_do_nothing_else() {
    let server = RedisServer::start().await;
    let [line, ..] = lines();
    set_user(&server, &line).await;
    let client = redis::Client::open(format!("{}?user=weir&pass=secret", server.url())).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    for words in [
        &["GET", "other"][..],
        &["XADD", "other", "*", "d", "1"],
        &["XREAD", "STREAMS", "weir:{a}", "other", "0", "0"],
        &["EVAL", "return redis.call('GET', KEYS[1])", "1", "other"],
        &["SPUBLISH", "other", "x"],
        &["PUBLISH", "weir:x", "x"],
        &["KEYS", "*"],
        &["FLUSHALL"],
        &["CONFIG", "GET", "*"],
        &["ACL", "WHOAMI"],
        &["CLIENT", "LIST"],
        &["XGROUP", "CREATE", "weir:{a}", "g", "$"],
    ] {
        let command = redis::cmd(words[0]).arg(&words[1..]).take();
        let answer: Result<Value, _> = command.query_async(&mut connection).await;
        let error = answer.expect_err(&format!("{words:?}"));
        let said = error.to_string().to_lowercase();
        assert!(
            said.contains("noperm") || said.contains("permission") || said.contains("can't"),
            "{words:?}: {said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_another_template_need_other_patterns() {
    let server = RedisServer::start().await;
    let [line, newer, ..] = lines();
    set_user(&server, &line).await;
    if is_newer(&server).await {
        set_user(&server, &newer).await;
    }
    let (_, rest) = REFERENCE
        .split_once("`logs:NAME`, without braces, needs\n`")
        .unwrap();
    let (patterns, _) = rest.split_once('`').unwrap();
    let mut change = vec!["ACL", "SETUSER", "weir", "resetkeys", "resetchannels"];
    change.extend(patterns.split(' '));
    ask(&server, &change).await;
    let settings = RedisConfig {
        key_template: "logs:NAME".into(),
        ..config(format!("{}?user=weir&pass=secret", server.url()))
    };
    everything(&RedisLog::connect(settings).await.unwrap(), &name("api")).await;
    assert_eq!(refused(&server).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_cluster() {
    let cluster = RedisCluster::start(3, true).await;
    let [line, newer, for_cluster, _] = lines();
    for node in cluster.nodes() {
        set_user(&node.server, &line).await;
        set_user(&node.server, &for_cluster).await;
        if is_newer(&node.server).await {
            set_user(&node.server, &newer).await;
        }
    }
    let url = cluster
        .url()
        .replace("redis-cluster://", "redis-cluster://weir:secret@");
    let log = RedisLog::connect(config(url)).await.unwrap();
    for n in 0..12 {
        everything(&log, &name(&format!("doc:{n}"))).await;
    }
    // A slot on its way: whoever is sent to the other node asks for the key there first.
    let stream = name("moving:1");
    log.append(&stream, keyed("before")).await.unwrap();
    let key = "weir:{moving:1}";
    let (slot, from) = cluster.first_owner(key).await;
    let to = (from + 1) % 3;
    cluster.begin_move(slot, from, to).await;
    cluster.move_keys(slot, from, to).await;
    soon(
        "an append that is redirected",
        log.append(&stream, NewEvent::new(event("after"))),
    )
    .await
    .unwrap();
    let asked = calls(&cluster.nodes()[to].server).await;
    assert!(asked.contains_key("asking"), "{asked:?}");
    cluster.end_move(slot, from, to).await;
    for node in cluster.nodes() {
        assert_eq!(refused(&node.server).await, []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_sentinels() {
    let group = SentinelGroup::start(1, &[]).await;
    let [line, newer, _, for_sentinels] = lines();
    for server in [group.primary(), group.replica()] {
        set_user(server, &line).await;
        if is_newer(server).await {
            set_user(server, &newer).await;
        }
    }
    let words: Vec<&str> = for_sentinels.iter().map(String::as_str).collect();
    group.sentinel(0).ask(&words).await.unwrap();
    let url = group
        .url()
        .replace("redis-sentinel://", "redis-sentinel://weir:secret@");
    let url = format!("{url}?sentinel_user=weir&sentinel_password=secret");
    let log = RedisLog::connect(config(url)).await.unwrap();
    everything(&log, &name("doc:1")).await;
    assert_eq!(refused(group.primary()).await, []);
    let refused = group.sentinel(0).ask(&["ACL", "LOG"]).await.unwrap();
    if !is_newer(group.primary()).await {
        assert_eq!(refused, Value::Array(Vec::new()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_lacks_is_named() {
    let server = RedisServer::start().await;
    let [line, ..] = lines();
    set_user(&server, &line).await;
    let log = RedisLog::connect(config(format!("{}?user=weir&pass=secret", server.url())))
        .await
        .unwrap();
    let stream = name("doc:1");
    log.append(&stream, keyed("first")).await.unwrap();
    for (command, new) in [
        ("xadd", NewEvent::new(event("plain"))),
        ("multi", NewEvent::new(event("plain"))),
        ("evalsha", keyed("by script")),
    ] {
        ask(&server, &["ACL", "SETUSER", "weir", &format!("-{command}")]).await;
        let error = log.append(&stream, new).await.unwrap_err().to_string();
        assert!(
            error.contains(&format!("lacks the permission for {command};")),
            "{error}"
        );
        assert!(
            error.contains("configuration reference") && !error.contains('\n'),
            "{error}"
        );
        ask(&server, &["ACL", "SETUSER", "weir", &format!("+{command}")]).await;
    }
    ask(&server, &["ACL", "SETUSER", "weir", "-xrange"]).await;
    let error = log
        .read(&stream, &ReadRequest::forward(From::Start, 1))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("lacks the permission for xrange;"),
        "{error}"
    );
    ask(&server, &["ACL", "SETUSER", "weir", "+xrange", "resetkeys"]).await;
    let error = log
        .append(&stream, NewEvent::new(event("plain")))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("lacks the permission for this key;"),
        "{error}"
    );
    let (_, title) = REFERENCE.split_once("### ").unwrap();
    assert!(
        title.contains("The Redis user"),
        "the message names a section that there is"
    );
}
