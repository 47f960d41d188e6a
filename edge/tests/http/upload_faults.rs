//! Uploads of lines while the log is away, and while the edge goes away.

use std::time::Duration;

use broker::AppendError;
use edge::config::Config;
use shared::limits::{APPEND_BATCH_ENTRIES_MAX, INGEST_STALL};

use crate::client::{Upload, code, data, get, within};
use crate::flaky::{FlakyLog, away};
use crate::support::TestEdge;

#[tokio::test]
async fn what_was_certainly_not_appended_is_held_and_tried_again() {
    let log = FlakyLog::new([]);
    let edge = TestEdge::start_on(log.clone(), Config::default()).await;
    let mut upload = Upload::start(&edge, "a").await;
    upload.write("{\"data\":1}\n").await;
    assert!(upload.answer().await.is_some());
    log.fail_next([away(), away(), AppendError::Full, away()]);
    upload.write("{\"data\":2}\nnonsense\n{\"data\":3}\n").await;
    upload.write("{\"data\":4}\n").await;
    upload.finish();
    let answers = upload.rest().await;
    assert_eq!(answers.len(), 4, "{answers:?}");
    assert_eq!(code(&answers[1]), "invalid_json");
    assert!(
        [0, 2, 3].iter().all(|n| answers[*n]["id"].is_string()),
        "{answers:?}"
    );
    assert_eq!(data(&get(&edge, "/v1/streams/a").await.1), [1, 2, 3, 4]);
}

#[tokio::test]
async fn more_than_one_batch_keeps_its_order_over_a_failure() {
    let log = FlakyLog::new([away(), away()]);
    let edge = TestEdge::start_on(log.clone(), Config::default()).await;
    let mut upload = Upload::start(&edge, "a").await;
    let lines = APPEND_BATCH_ENTRIES_MAX * 3;
    upload
        .write(
            (0..lines)
                .map(|n| format!("{{\"data\":{n}}}\n"))
                .collect::<String>(),
        )
        .await;
    upload.finish();
    let answers = upload.rest().await;
    assert_eq!(answers.len(), lines);
    for (index, answer) in answers.iter().enumerate() {
        let cursor = answer["cursor"].as_str().unwrap_or_else(|| panic!("{answer}"));
        assert_eq!(cursor.split_once('.').unwrap().1, (index + 1).to_string());
    }
}

#[tokio::test]
async fn lines_do_not_overtake_those_that_a_dying_log_has_swallowed() {
    let log = FlakyLog::new([]);
    let edge = TestEdge::start_on(log.clone(), Config::default()).await;
    let mut upload = Upload::start(&edge, "a").await;
    log.hold();
    upload.write("{\"data\":1}\n").await;
    within("the first line", async {
        while log.held() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // What waits is for time to pass, not for the edge.
    tokio::time::sleep(INGEST_STALL + Duration::from_millis(100)).await;
    upload.write("{\"data\":2}\n").await;
    upload.finish();
    // Long enough for the second line to be handed in behind the first, if it were.
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(log.held(), 1);
    }
    log.fail_first_held().await;
    assert_eq!(upload.rest().await.len(), 2);
    assert_eq!(data(&get(&edge, "/v1/streams/a").await.1), [1, 2]);
}

#[tokio::test]
async fn an_unknown_outcome_is_told_unless_a_key_makes_trying_again_safe() {
    let log = FlakyLog::new([AppendError::Unconfirmed]);
    let edge = TestEdge::start_on(log.clone(), Config::default()).await;
    let mut upload = Upload::start(&edge, "a").await;
    upload
        .write("{\"data\":1}\n{\"data\":2,\"key\":\"k\"}\n{\"data\":3}\n")
        .await;
    upload.finish();
    let answers = upload.rest().await;
    assert_eq!(code(&answers[0]), "unconfirmed");
    assert!(answers[1]["id"].is_string(), "{answers:?}");
    assert_eq!(code(&answers[2]), "unconfirmed");
    assert_eq!(answers.len(), 3);
    assert_eq!(data(&get(&edge, "/v1/streams/a").await.1), [2]);
}

#[tokio::test]
async fn in_the_end_lines_are_answered_with_the_error() {
    let mut config = Config::default();
    config.publish.hold = Duration::from_millis(1);
    let log = FlakyLog::new((0..100).map(|_| away()));
    let edge = TestEdge::start_on(log.clone(), config).await;
    let mut upload = Upload::start(&edge, "a").await;
    upload.write("{\"data\":1}\n").await;
    assert_eq!(code(&upload.answer().await.unwrap()), "unavailable");
    // The upload itself goes on.
    upload.write("{\"data\":2}\n").await;
    assert_eq!(code(&upload.answer().await.unwrap()), "unavailable");
    assert!(log.failures_left() > 0);
}

#[tokio::test]
async fn a_drain_answers_what_was_read_and_ends_the_upload() {
    let log = FlakyLog::new([]);
    let mut edge = TestEdge::start_on(log.clone(), Config::default()).await;
    let mut idle = Upload::start(&edge, "a").await;
    idle.write("{\"data\":1}\n").await;
    assert!(idle.answer().await.unwrap()["id"].is_string());
    // This one is held when the edge goes away: what the log said is what it is told.
    log.fail_next((0..1000).map(|_| away()));
    let mut held = Upload::start(&edge, "a").await;
    held.write("{\"data\":2}\n").await;
    within("the first attempt", async {
        while log.failures_left() == 1000 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    edge.shutdown.cancel();
    assert_eq!(idle.answer().await, None);
    assert_eq!(code(&held.answer().await.unwrap()), "unavailable");
    assert_eq!(held.answer().await, None);
    within("the end of the edge", &mut edge.server)
        .await
        .unwrap()
        .unwrap();
}
