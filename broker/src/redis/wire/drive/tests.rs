#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::super::pipe::tests::pipe;
use super::*;

const LONG_ENOUGH: Duration = Duration::from_secs(20);

#[tokio::test]
async fn work_over_a_connection_that_ends_ends_with_it() {
    let (pipe, mut driver, mut server) = pipe().await;
    let work = async {
        let answer = pipe.push(|out| {
            out.extend(b"one");
            1
        });
        assert_eq!(answer.await.unwrap(), b":1\r\n");
        let answer = pipe.push(|out| {
            out.extend(b"two");
            1
        });
        assert!(answer.await.is_err());
        // Whoever waits for something else is not left there.
        std::future::pending::<Result<(), Fault>>().await
    };
    let serving = async {
        let mut sent = [0; 3];
        server.read_exact(&mut sent).await.unwrap();
        server.write_all(b":1\r\n").await.unwrap();
        server.read_exact(&mut sent).await.unwrap();
        drop(server);
    };
    let both = async { tokio::join!(drive(&mut driver, work), serving).0 };
    assert_eq!(
        timeout(LONG_ENOUGH, both).await.unwrap(),
        Err(Fault::CONNECTION_LOST)
    );
}

#[tokio::test]
async fn an_answer_wakes_nobody_but_by_its_coming() {
    const QUESTIONS: usize = 200;
    let (pipe, mut driver, mut server) = pipe().await;
    let work = async {
        for _ in 0..QUESTIONS {
            let answer = pipe.push(|out| {
                out.extend(b"ask");
                1
            });
            answer.await.unwrap();
        }
        Ok(())
    };
    let serving = tokio::spawn(async move {
        let mut sent = [0; 3];
        for _ in 0..QUESTIONS {
            server.read_exact(&mut sent).await.unwrap();
            server.write_all(b":1\r\n").await.unwrap();
        }
        server
    });
    let polls = Cell::new(0);
    {
        let mut driven = pin!(drive(&mut driver, work));
        let counted = poll_fn(|cx| {
            polls.set(polls.get() + 1);
            driven.as_mut().poll(cx)
        });
        timeout(LONG_ENOUGH, counted).await.unwrap().unwrap();
    }
    serving.await.unwrap();
    assert!(polls.get() < QUESTIONS * 3 / 2, "{} polls", polls.get());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_ring_from_elsewhere_is_lost() {
    const RINGS: usize = 20_000;
    let (_pipe, mut driver, _server) = pipe().await;
    let (there, mut arriving) = mpsc::channel(1);
    let (back, mut returning) = mpsc::channel(1);
    let other = tokio::spawn(async move {
        for _ in 0..RINGS {
            there.send(()).await.unwrap();
            returning.recv().await.unwrap();
        }
    });
    let work = async {
        for _ in 0..RINGS {
            arriving.recv().await.unwrap();
            back.send(()).await.unwrap();
        }
        Ok(())
    };
    let done = timeout(LONG_ENOUGH, drive(&mut driver, work)).await;
    done.unwrap().unwrap();
    other.await.unwrap();
}

#[tokio::test]
async fn work_that_never_rests_leaves_others_their_turn() {
    let (_pipe, mut driver, _server) = pipe().await;
    let (stop, mut stopped) = tokio::sync::oneshot::channel();
    let other = tokio::spawn(async move { stop.send(()).unwrap() });
    let work = poll_fn(|cx| {
        cx.waker().wake_by_ref();
        match stopped.try_recv() {
            Ok(()) => Poll::Ready(Ok(())),
            Err(_) => Poll::Pending,
        }
    });
    let done = timeout(LONG_ENOUGH, drive(&mut driver, work)).await;
    done.unwrap().unwrap();
    other.await.unwrap();
}
