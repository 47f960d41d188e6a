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

/// Every server delivers. What Weir delivers is everything, once and in order: anything else is an error of the scenario.
/// Of others it is a finding: `socketioxide` drops what its queues do not hold.
async fn deliveries(scenario: Scenario, servers: &[Server]) {
    let outcomes = scenario.measure(Size::Smoke).await.expect("measured");
    for server in servers {
        let of_server = outcomes.iter().filter(|one| one.server == server.name());
        let rates: Vec<_> = of_server.map(|one| one.get("deliveries per second")).collect();
        assert!(!rates.is_empty(), "{server:?}");
        assert!(
            rates.iter().all(|rate| rate.is_some_and(|rate| rate > 0.0)),
            "{server:?} {rates:?}"
        );
    }
    let weir = outcomes.iter().filter(|one| one.server == Server::Weir.name());
    for outcome in weir {
        assert!(
            !outcome.notes.iter().any(|note| note.starts_with("in the end")),
            "{:?}",
            outcome.notes
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fan_out_reaches_every_socket() {
    deliveries(Scenario::FanOut, &Server::ALL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_firehose_reaches_every_socket() {
    deliveries(Scenario::Firehose, &Server::ALL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_room_gets_its_events() {
    deliveries(Scenario::Rooms, &Server::ALL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_through_two_edges() {
    deliveries(Scenario::Latency, &Server::ALL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_polls_gets_every_event() {
    let servers: Vec<_> = Server::ALL
        .into_iter()
        .filter(|server| *server != Server::Bare)
        .collect();
    deliveries(Scenario::Polling, &servers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_readers_have_everything_in_the_end() {
    let servers: Vec<_> = Server::ALL
        .into_iter()
        .filter(|server| server.needs_redis())
        .collect();
    deliveries(Scenario::SlowReaders, &servers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tails_deliver_every_event() {
    assert_eq!(outcomes(Scenario::Tail).await, Ok(6));
}

#[tokio::test(flavor = "multi_thread")]
async fn ingest_acknowledges_every_line() {
    assert_eq!(outcomes(Scenario::Ingest).await, Ok(20));
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

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_costs_no_subscriber_an_event() {
    assert_eq!(outcomes(Scenario::Recovery).await, Ok(3));
}
