//! Which edges there are, and what they share.

use std::time::Duration;

use broker::ClusterSecret;
use shared::EdgeId;

use crate::{Fixture, Settings};

const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_millis(400);

fn edge(n: u8) -> EdgeId {
    EdgeId::from_random([n; 6])
}

pub(crate) async fn an_edge_is_found_while_it_is_announced<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let log = fixture.log();
    let edges = log.edges();
    assert_eq!(edges.find(edge(1)).await, Ok(None));
    edges.announce(edge(1), "10.0.0.1:7401", SHORT).await.unwrap();
    edges
        .announce(edge(2), "edge-2.internal:7401", LONG)
        .await
        .unwrap();
    assert_eq!(edges.find(edge(1)).await, Ok(Some("10.0.0.1:7401".into())));
    edges.announce(edge(1), "10.0.0.9:7401", SHORT).await.unwrap();
    assert_eq!(edges.find(edge(1)).await, Ok(Some("10.0.0.9:7401".into())));
    fixture.advance(2 * SHORT).await;
    assert_eq!(edges.find(edge(1)).await, Ok(None), "it did not repeat it");
    assert_eq!(edges.find(edge(2)).await, Ok(Some("edge-2.internal:7401".into())));
    edges.withdraw(edge(2)).await.unwrap();
    assert_eq!(edges.find(edge(2)).await, Ok(None));
    assert_eq!(edges.withdraw(edge(2)).await, Ok(()));
}

pub(crate) async fn the_first_secret_is_the_one_that_all_share<F: Fixture>() {
    let fixture = F::start(Settings::default()).await;
    let log = fixture.log();
    let secret = |n| ClusterSecret::from_random([n; 32]);
    assert_eq!(log.edges().cluster_secret(secret(1)).await, Ok(secret(1)));
    assert_eq!(log.edges().cluster_secret(secret(2)).await, Ok(secret(1)));
    assert_eq!(log.edges().cluster_secret(secret(1)).await, Ok(secret(1)));
    let printed = format!("{:?}", secret(7));
    assert!(!printed.contains('7'), "{printed}");
}
