//! `weir tail` and its output: readers that are slow, that leave, that come back; and the `--resume` file.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::fake_edge::{Conversation, FakeEdge};
use crate::script::tail;

/// Events of many lengths.
fn event(n: u64) -> String {
    let data = format!("event {n} {}", "x".repeat((n % 300) as usize));
    format!("{{\"id\":\"{n}-0\",\"stream\":\"a\",\"data\":\"{data}\",\"cursor\":\"{n}-0.{n}\"}}\n")
}

fn events(numbers: std::ops::RangeInclusive<u64>) -> String {
    numbers.map(event).collect()
}

/// The number of the event on a line.
fn number(line: &str) -> u64 {
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

/// The cursor that the end of a tail tells, as the number of its event.
fn told_cursor(stderr: &str) -> u64 {
    let (_, rest) = stderr.split_once("cursor ").unwrap();
    rest.split_once('-').unwrap().0.parse().unwrap()
}

fn kept_cursor(file: &Path) -> String {
    let content: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    content["cursor"].as_str().unwrap().to_owned()
}

/// Waits until the file holds this cursor.
async fn until_kept(file: &Path, cursor: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !file.exists() || kept_cursor(file) != cursor {
        assert!(Instant::now() < deadline, "{cursor} was not kept in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

const CAUGHT_UP: &str = "{\"control\":\"caught_up\",\"stream\":\"a\",\"cursor\":\"90000-0.90000\"}\n";

#[tokio::test]
async fn a_reader_that_leaves_ends_the_tail_quietly() {
    let edge = FakeEdge::start().await;
    let mut weir = tail(&edge, &["--from", "start"]);
    let mut request = edge.request().await;
    request.begin_lines().await;
    request.chunk(&events(1..=1)).await;
    assert_eq!(number(&weir.line().await), 1);
    // Nothing more is sent: it must not take another event to find out.
    weir.close_output();
    let ended = weir.ended().await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn a_reader_that_leaves_in_the_middle_of_much_ends_the_tail_quietly() {
    let edge = FakeEdge::start().await;
    let mut weir = tail(&edge, &["--from", "start"]);
    let mut request = edge.request().await;
    request.begin_lines().await;
    let feed = async {
        let mut next = 1;
        while request
            .try_send_raw(chunk(&events(next..=next + 99)).as_bytes())
            .await
        {
            next += 100;
        }
    };
    let read = async {
        weir.line().await;
        weir.close_output();
        weir.ended().await
    };
    let (ended, ()) = tokio::join!(read, feed);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// Sends events until the tail takes no more, which is when its output is blocked.
async fn fill(request: &mut Conversation) {
    let mut next = 1;
    let blocked = Duration::from_millis(700);
    while let Ok(sent) = tokio::time::timeout(
        blocked,
        request.try_send_raw(chunk(&events(next..=next + 99)).as_bytes()),
    )
    .await
    {
        assert!(sent, "the tail went away");
        next += 100;
        assert!(
            next < 1_000_000,
            "the tail takes everything: its memory is not bounded"
        );
    }
}

#[tokio::test]
async fn a_cut_while_the_output_is_blocked_loses_and_doubles_nothing() {
    let edge = FakeEdge::start().await;
    let mut weir = tail(&edge, &["--from", "start", "--no-follow"]);
    let mut request = edge.request().await;
    request.begin_lines().await;
    fill(&mut request).await;
    drop(request);
    let read = async {
        let mut last = 0;
        loop {
            let n = number(&weir.line().await);
            assert_eq!(n, last + 1);
            last = n;
            if n == 90_000 {
                return weir.ended().await;
            }
        }
    };
    let serve = async {
        let mut request = edge.request().await;
        let from = request
            .parameter("from")
            .unwrap()
            .split_once('-')
            .unwrap()
            .0
            .parse::<u64>()
            .unwrap();
        request.begin_lines().await;
        for first in (from + 1..=90_000).step_by(100) {
            request.chunk(&events(first..=(first + 99).min(90_000))).await;
        }
        request.chunk(CAUGHT_UP).await;
        request
    };
    let (ended, _request) = tokio::join!(read, serve);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn ctrl_c_while_the_output_is_blocked_tells_exactly_what_went_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("resume");
    let edge = FakeEdge::start().await;
    let mut weir = tail(&edge, &["--from", "start", "--resume", file.to_str().unwrap()]);
    let mut request = edge.request().await;
    request.begin_lines().await;
    fill(&mut request).await;
    weir.signal("INT");
    assert_eq!(weir.exit_code().await, Some(130));
    let ended = weir.ended().await;
    assert!(ended.stdout.ends_with('\n'), "a line was left half written");
    let last = number(ended.stdout.lines().last().unwrap());
    assert_eq!(ended.stdout.lines().count() as u64, last);
    assert_eq!(told_cursor(&ended.stderr), last);
    assert_eq!(kept_cursor(&file), format!("{last}-0.{last}"));
}

#[tokio::test]
async fn the_cursor_is_kept_while_it_runs_and_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("resume");
    let args = ["--from", "start", "--resume", file.to_str().unwrap()];
    let edge = FakeEdge::start().await;

    let mut weir = tail(&edge, &args);
    let mut request = edge.request().await;
    assert_eq!(request.parameter("from"), Some("start"), "no file: begin as told");
    request.begin_lines().await;
    request.chunk(&events(1..=3)).await;
    for n in 1..=3 {
        assert_eq!(number(&weir.line().await), n);
    }
    until_kept(&file, "3-0.3").await;
    request
        .chunk("{\"control\":\"cursor\",\"cursor\":\"5-0.5\"}\n")
        .await;
    until_kept(&file, "5-0.5").await;
    request.chunk(&events(6..=6)).await;
    assert_eq!(number(&weir.line().await), 6);
    weir.signal("TERM");
    let ended = weir.ended().await;
    assert_eq!(ended.code, Some(143));
    assert_eq!(kept_cursor(&file), "6-0.6", "an orderly end keeps the last event");
    assert!(
        ended
            .stderr
            .trim_end()
            .ends_with(&format!("--resume {} --output raw", file.display()))
    );

    let weir = tail(&edge, &[args.as_slice(), &["--no-follow"]].concat());
    let mut request = edge.request().await;
    assert_eq!(request.parameter("from"), Some("6-0.6"), "the file beats --from");
    request.begin_lines().await;
    request.chunk(&(events(7..=8) + CAUGHT_UP)).await;
    let ended = weir.ended().await;
    assert_eq!((ended.code, ended.stdout.lines().count()), (Some(0), 2));
    assert_eq!(kept_cursor(&file), "90000-0.90000");
}

#[tokio::test]
async fn after_sigkill_nothing_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("resume");
    let args = ["--from", "start", "--resume", file.to_str().unwrap()];
    let edge = FakeEdge::start().await;
    let mut weir = tail(&edge, &args);
    let mut request = edge.request().await;
    request.begin_lines().await;
    request.chunk(&events(1..=5)).await;
    until_kept(&file, "5-0.5").await;
    request.chunk(&events(6..=9)).await;
    for n in 1..=9 {
        assert_eq!(number(&weir.line().await), n);
    }
    weir.signal("KILL");
    assert_eq!(weir.exit_code().await, None);
    let _again = tail(&edge, &args);
    let request = edge.request().await;
    let from: u64 = request
        .parameter("from")
        .unwrap()
        .split_once('-')
        .unwrap()
        .0
        .parse()
        .unwrap();
    assert!(
        (5..=9).contains(&from),
        "went on after {from}, but 9 were printed and 5 kept"
    );
}

#[tokio::test]
async fn a_file_that_does_not_belong_here_is_a_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("resume");
    let edge = FakeEdge::start().await;
    for content in [
        "{\"weir_resume\":1,\"url\":\"http://elsewhere\",\"streams\":[\"a\"],\"cursor\":\"1-0.1\"}",
        "{\"weir_resume\":1,\"url\":\"http://elsewhere\",\"streams\":[\"b\"],\"cursor\":\"1-0.1\"}",
        "{\"weir_resume\":1,",
    ] {
        std::fs::write(&file, content).unwrap();
        let ended = tail(&edge, &["--resume", file.to_str().unwrap()]).ended().await;
        assert_eq!(ended.code, Some(2));
        assert!(
            ended
                .stderr
                .starts_with(&format!("weir: --resume {}: ", file.display())),
            "{}",
            ended.stderr
        );
        assert_eq!(ended.stderr.lines().count(), 1);
        assert_eq!(
            std::fs::read_to_string(&file).unwrap(),
            content,
            "it is left as it was"
        );
    }
}
