//! Every scenario runs and counts right. Speed is not judged here.

use benches::Size;
use benches::scenarios::Scenario;
use benches::servers::Server;

async fn outcomes(scenario: Scenario) -> Result<usize, String> {
    let measured = scenario.measure(Size::Smoke).await;
    measured
        .map(|outcomes| outcomes.len())
        .map_err(|error| format!("{error:#}"))
}

/// Every server has delivered everything once and in order, at one rate.
async fn deliveries(scenario: Scenario) {
    let outcomes = scenario.measure(Size::Smoke).await.expect("measured");
    for server in Server::ALL {
        let of_server: Vec<_> = outcomes
            .iter()
            .filter(|one| one.server == server.name())
            .collect();
        assert!(!of_server.is_empty(), "{server:?}");
        for outcome in of_server {
            let wrong = outcome.notes.iter().find(|note| note.starts_with("in the end"));
            assert_eq!(wrong, None, "{server:?}");
            assert!(
                outcome
                    .get("deliveries per second")
                    .is_some_and(|rate| rate > 0.0),
                "{server:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fan_out_reaches_every_socket() {
    deliveries(Scenario::FanOut).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_firehose_reaches_every_socket() {
    deliveries(Scenario::Firehose).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tails_deliver_every_event() {
    assert_eq!(outcomes(Scenario::Tail).await, Ok(6));
}

#[tokio::test(flavor = "multi_thread")]
async fn ingest_acknowledges_every_line() {
    assert_eq!(outcomes(Scenario::Ingest).await, Ok(16));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_whole() {
    assert_eq!(outcomes(Scenario::Replay).await, Ok(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_session_is_stored_and_every_ephemeral_event_comes() {
    assert_eq!(outcomes(Scenario::Records).await, Ok(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_sockets_stay_connected() {
    assert_eq!(outcomes(Scenario::Idle).await, Ok(6));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_socket_connects_and_subscribes() {
    assert_eq!(outcomes(Scenario::Connect).await, Ok(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_come_back_all_at_once_miss_nothing() {
    assert_eq!(outcomes(Scenario::ResumeStorm).await, Ok(7));
}
