//! Every scenario runs and counts right. Speed is not judged here.

use benches::{Size, ingest, replay, tail};

#[tokio::test(flavor = "multi_thread")]
async fn tails_deliver_every_event() {
    assert_eq!(
        tail::measure(Size::Smoke)
            .await
            .map(|rows| rows.len())
            .map_err(|e| e.to_string()),
        Ok(2)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ingest_acknowledges_every_line() {
    assert_eq!(
        ingest::measure(Size::Smoke)
            .await
            .map(|rows| rows.len())
            .map_err(|e| e.to_string()),
        Ok(2)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_whole() {
    assert_eq!(
        replay::measure(Size::Smoke)
            .await
            .map(|rows| rows.len())
            .map_err(|e| e.to_string()),
        Ok(2)
    );
}
