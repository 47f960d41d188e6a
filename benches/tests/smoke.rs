//! Every scenario runs and counts right. Speed is not judged here.

use benches::report::Row;
use benches::{Size, idle, ingest, records, replay, tail};

fn rows(measured: anyhow::Result<Vec<Row>>) -> Result<usize, String> {
    measured.map(|rows| rows.len()).map_err(|e| format!("{e:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn tails_deliver_every_event() {
    assert_eq!(rows(tail::measure(Size::Smoke).await), Ok(6));
}

#[tokio::test(flavor = "multi_thread")]
async fn ingest_acknowledges_every_line() {
    assert_eq!(rows(ingest::measure(Size::Smoke).await), Ok(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_whole() {
    assert_eq!(rows(replay::measure(Size::Smoke).await), Ok(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_session_is_stored_and_every_ephemeral_event_comes() {
    assert_eq!(rows(records::measure(Size::Smoke).await), Ok(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_sockets_stay_connected() {
    let measured = idle::measure(Size::Smoke).await;
    assert_eq!(
        measured.map(|rows| rows.len()).map_err(|e| format!("{e:#}")),
        Ok(4)
    );
}
