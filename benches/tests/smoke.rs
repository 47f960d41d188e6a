//! Every scenario runs and counts right. Speed is not judged here.

use benches::Size;
use benches::scenarios::Scenario;

async fn outcomes(scenario: Scenario) -> Result<usize, String> {
    let measured = scenario.measure(Size::Smoke).await;
    measured
        .map(|outcomes| outcomes.len())
        .map_err(|error| format!("{error:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn tails_deliver_every_event() {
    assert_eq!(outcomes(Scenario::Tail).await, Ok(6));
}

#[tokio::test(flavor = "multi_thread")]
async fn ingest_acknowledges_every_line() {
    assert_eq!(outcomes(Scenario::Ingest).await, Ok(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_whole() {
    assert_eq!(outcomes(Scenario::Replay).await, Ok(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_session_is_stored_and_every_ephemeral_event_comes() {
    assert_eq!(outcomes(Scenario::Records).await, Ok(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_sockets_stay_connected() {
    assert_eq!(outcomes(Scenario::Idle).await, Ok(4));
}
