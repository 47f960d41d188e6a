#![allow(clippy::unwrap_used)]

use std::future::{Future as _, poll_fn};
use std::time::Duration;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::RedisConfig;

/// A pipe to a server that is played here.
pub(in crate::redis::wire) async fn pipe() -> (Pipe, Driver, TcpStream) {
    pipe_with(None).await
}

async fn pipe_with(pushes: Option<Pushes>) -> (Pipe, Driver, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = RedisConfig::new(format!("redis://{}", listener.local_addr().unwrap()));
    let connector = config.connector().unwrap();
    let opening = tokio::spawn(async move { Pipe::open(&connector, &redis::cmd("PING"), pushes).await });
    let (mut server, _) = listener.accept().await.unwrap();
    expect(&mut server, b"PING\r\n", 0).await;
    (server.write_all(b"+PONG\r\n").await).unwrap();
    let (pipe, driver, pong) = opening.await.unwrap().unwrap();
    assert_eq!(pong, Ok(Value::SimpleString("PONG".into())));
    (pipe, driver, server)
}

/// Reads until `end` has come. The greeting, which is whatever comes before the first command, is answered.
async fn expect(server: &mut TcpStream, end: &[u8], answered: usize) {
    let (mut received, mut answered) = (Vec::new(), answered);
    while !received.ends_with(end) {
        assert!(server.read_buf(&mut received).await.unwrap() > 0);
        let text = String::from_utf8_lossy(&received).into_owned();
        let commands = text.matches("HELLO\r\n").count() + text.matches("SETINFO\r\n").count();
        if text.ends_with("\r\n") {
            for _ in answered..commands {
                server.write_all(b"+OK\r\n").await.unwrap();
            }
            answered = commands;
        }
    }
}

fn answered(answer: &mut Answer) -> Option<Vec<u8>> {
    answer.try_recv().ok()
}

/// Polls the driver once. Returns whether the connection is gone.
async fn turn(driver: &mut Driver) -> bool {
    poll_fn(|cx| Poll::Ready(driver.poll(cx).is_ready())).await
}

/// Waits for the end of the connection.
async fn end(driver: &mut Driver) -> Fault {
    let end = timeout(Duration::from_secs(20), poll_fn(|cx| driver.poll(cx)));
    end.await.unwrap()
}

/// Polls the driver until `done`.
async fn until(driver: &mut Driver, mut done: impl FnMut() -> bool) {
    let all = poll_fn(|cx| match driver.poll(cx) {
        _ if done() => Poll::Ready(()),
        Poll::Ready(fault) => panic!("{fault:?}"),
        Poll::Pending => Poll::Pending,
    });
    timeout(Duration::from_secs(20), all).await.unwrap();
}

#[tokio::test]
async fn nothing_leaves_before_the_driver_is_polled_and_then_all_of_it_in_order() {
    let (pipe, mut driver, mut server) = pipe().await;
    let mut answers: Vec<Answer> = (0..3u8)
        .map(|n| {
            pipe.push(|out| {
                out.push(b'a' + n);
                usize::from(n) + 1
            })
        })
        .collect();
    assert!(!turn(&mut driver).await);
    let mut sent = [0; 3];
    server.read_exact(&mut sent).await.unwrap();
    assert_eq!(&sent, b"abc");
    // The last answer is not whole yet.
    server
        .write_all(b":1\r\n:2\r\n$2\r\nxx\r\n+a\r\n+b\r\n$3\r\nx")
        .await
        .unwrap();
    let mut seen = Vec::new();
    until(&mut driver, || {
        seen.extend(answers.iter_mut().filter_map(answered));
        seen.len() == 2
    })
    .await;
    assert_eq!(seen, [&b":1\r\n"[..], b":2\r\n$2\r\nxx\r\n"]);
    server.write_all(b"yz\r\n").await.unwrap();
    until(&mut driver, || {
        seen.extend(answers.iter_mut().filter_map(answered));
        seen.len() == 3
    })
    .await;
    assert_eq!(seen[2], b"+a\r\n+b\r\n$3\r\nxyz\r\n");
}

#[tokio::test]
async fn what_was_answered_before_the_end_is_handed_out_and_the_rest_is_told() {
    let (pipe, mut driver, mut server) = pipe().await;
    let mut first = pipe.push(|out| {
        out.extend(b"first");
        1
    });
    assert!(!turn(&mut driver).await);
    let mut sent = [0; 5];
    server.read_exact(&mut sent).await.unwrap();
    server.write_all(b":1\r\n:").await.unwrap();
    drop(server);
    let mut second = pipe.push(|out| {
        out.extend(b"second");
        1
    });
    assert_eq!(end(&mut driver).await, Fault::CONNECTION_LOST);
    assert_eq!(first.try_recv().unwrap(), b":1\r\n");
    assert!(second.try_recv().is_err());
    // Later ones are told at once.
    assert_eq!(
        pipe.ask(&[&redis::cmd("PING")], None).await,
        Err(Fault::CONNECTION_LOST)
    );
}

#[tokio::test]
async fn an_answer_that_nobody_asked_for_ends_the_connection() {
    let (_pipe, mut driver, mut server) = pipe().await;
    server.write_all(b":1\r\n").await.unwrap();
    assert_eq!(end(&mut driver).await, Fault::CONNECTION_LOST);
}

#[tokio::test]
async fn pushes_come_out_whole_wherever_they_stand() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let (pipe, mut driver, mut server) =
        pipe_with(Some(Box::new(move |push| lock(&sink).push(push.to_vec())))).await;
    let mut answer = pipe.push(|out| {
        out.push(b'x');
        3
    });
    let push = |name: &str| format!(">2\r\n+{name}\r\n*1\r\n$1\r\n\n\r\n");
    let all = [
        &push("one"),
        ":1\r\n",
        &push("two"),
        &push("three"),
        "$1\r\na\r\n*1\r\n:3\r\n",
        &push("four"),
    ]
    .concat();
    // A byte at a time: each stands at a boundary once, and everywhere within.
    for byte in all.bytes() {
        server.write_all(&[byte]).await.unwrap();
        assert!(!turn(&mut driver).await);
    }
    until(&mut driver, || lock(&seen).len() == 4).await;
    let expected: Vec<Vec<u8>> = ["one", "two", "three", "four"]
        .map(|name| push(name).into_bytes())
        .into();
    assert_eq!(*lock(&seen), expected);
    assert_eq!(answer.try_recv().unwrap(), b":1\r\n$1\r\na\r\n*1\r\n:3\r\n");
}

#[tokio::test]
async fn a_push_where_none_may_come_ends_the_connection() {
    let (_pipe, mut driver, mut server) = pipe().await;
    server.write_all(b">1\r\n+a\r\n").await.unwrap();
    assert_eq!(end(&mut driver).await, Fault::CONNECTION_LOST);
}

#[tokio::test]
async fn a_driver_that_is_dropped_tells_those_who_wait() {
    let (pipe, driver, _server) = pipe().await;
    let waiting = tokio::spawn({
        let pipe = pipe.clone();
        async move { pipe.ask(&[&redis::cmd("PING")], None).await }
    });
    tokio::task::yield_now().await;
    drop(driver);
    assert_eq!(waiting.await.unwrap(), Err(Fault::CONNECTION_LOST));
}

#[tokio::test]
async fn a_connection_that_is_left_answers_those_who_wait_but_not_for_ever() {
    let (pipe, driver, mut server) = pipe().await;
    let ask = |pipe: &Pipe| {
        pipe.push(|out| {
            out.push(b'x');
            1
        })
    };
    let mut answer = ask(&pipe);
    let finishing = tokio::spawn(Box::new(driver).finish(Duration::from_secs(20)));
    let mut sent = [0; 1];
    server.read_exact(&mut sent).await.unwrap();
    server.write_all(b":1\r\n").await.unwrap();
    timeout(Duration::from_secs(20), finishing)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(answer.try_recv().unwrap(), b":1\r\n");
    let (pipe, driver, _server) = self::pipe().await;
    // The server takes nothing.
    let mut answer = pipe.push(|out| {
        out.resize(64 * 1024 * 1024, b'x');
        1
    });
    Box::new(driver).finish(Duration::from_millis(50)).await;
    assert!(answer.try_recv().is_err());
}

#[tokio::test]
async fn a_place_is_kept_until_the_answer_also_if_nobody_waits_for_it() {
    let (pipe, mut driver, mut server) = pipe().await;
    let places = Arc::new(tokio::sync::Semaphore::new(1));
    let place = Arc::clone(&places).try_acquire_owned().unwrap();
    {
        let command = redis::cmd("PING");
        let commands = [&command];
        let mut asking = std::pin::pin!(pipe.ask(&commands, Some(place)));
        assert!(poll_fn(|cx| Poll::Ready(asking.as_mut().poll(cx).is_pending())).await);
    }
    assert!(!turn(&mut driver).await);
    assert_eq!(places.available_permits(), 0);
    server.write_all(b"+PONG\r\n").await.unwrap();
    until(&mut driver, || places.available_permits() == 1).await;
}

#[tokio::test]
async fn many_tasks_ask_at_once_and_each_gets_its_own_answer() {
    let (pipe, mut driver, mut server) = pipe().await;
    let driving = tokio::spawn(async move { poll_fn(|cx| driver.poll(cx)).await });
    let echo = tokio::spawn(async move {
        // Each request is a command `*1 $4 nnnn`; the answer is the same text.
        let (mut received, mut from) = (Vec::new(), 0);
        loop {
            if server.read_buf(&mut received).await.unwrap() == 0 {
                return;
            }
            while received.len() - from >= 14 {
                let answer = [&received[from + 4..from + 14]].concat();
                from += 14;
                server.write_all(&answer).await.unwrap();
            }
        }
    });
    let asking: Vec<_> = (0..8)
        .map(|task| {
            let pipe = pipe.clone();
            tokio::spawn(async move {
                for n in 0..200 {
                    let text = format!("{:04}", task * 200 + n);
                    let reply = pipe.ask(&[&redis::cmd(&text)], None).await.unwrap();
                    assert_eq!(reply, [Value::BulkString(text.into_bytes())]);
                }
            })
        })
        .collect();
    for task in asking {
        timeout(Duration::from_secs(60), task).await.unwrap().unwrap();
    }
    driving.abort();
    echo.await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// However the replies are cut, each caller gets its own.
    #[test]
    fn answers_come_out_whole_however_they_are_cut(
        replies in prop::collection::vec(1usize..4, 1..20),
        cuts in prop::collection::vec(1usize..40, 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (pipe, mut driver, mut server) = pipe().await;
            let mut answers: Vec<Answer> = replies.iter().map(|count| pipe.push(|out| {
                out.push(b'x');
                *count
            })).collect();
            let expected: Vec<Vec<u8>> = replies.iter().enumerate().map(|(n, count)| {
                format!("$5\r\n{n:05}\r\n").repeat(*count).into_bytes()
            }).collect();
            let all = expected.concat();
            let (mut rest, mut cuts) = (&all[..], cuts.iter().cycle());
            let mut seen = Vec::new();
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                server.write_all(piece).await.unwrap();
                rest = after;
                assert!(!turn(&mut driver).await);
            }
            until(&mut driver, || {
                seen.extend(answers.iter_mut().filter_map(answered));
                seen.len() == expected.len()
            }).await;
            assert_eq!(seen, expected);
        });
    }
}
