//! An edge that goes away says so, and first says what it still has to say.

use std::time::Duration;

use edge::config::Config;
use serde_json::json;

use crate::client::{Client, Encoding, End, soon};
use crate::raw::Raw;
use crate::support::TestEdge;

#[tokio::test]
async fn every_socket_is_asked_to_come_back() {
    let edge = TestEdge::start().await;
    let mut idle = Client::open(&edge).await;
    let mut follower = Client::open_as(&edge, Encoding::MessagePack).await;
    follower.subscribe("s", "now").await;
    follower.expect("caught_up").await;
    edge.shutdown.cancel();
    assert_eq!(idle.end().await, End::Closed(1012));
    assert_eq!(follower.end().await, End::Closed(1012));
    idle.close().await;
    follower.close().await;
    soon("the server", async {
        while !edge.server.is_finished() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_was_taken_is_acknowledged_first() {
    let edge = TestEdge::start().await;
    let mut client = Client::open(&edge).await;
    for n in 0..500 {
        client
            .feed(json!({"type": "publish", "ref": n, "stream": "s", "data": n}))
            .await;
    }
    client.flush().await;
    // Some are in the log by now.
    client.expect("published").await;
    edge.shutdown.cancel();
    let mut acknowledged = 1;
    let end = loop {
        match client.receive().await {
            Ok(frame) => {
                assert_eq!(frame["type"], "published");
                acknowledged += 1;
            }
            Err(end) => break end,
        }
    };
    assert_eq!(end, End::Closed(1012));
    // The edge has read nothing that it did not answer.
    let request = broker::ReadRequest::forward(broker::From::Start, 1_000);
    let page = edge
        .state
        .log
        .read(&"s".parse().unwrap(), &request)
        .await
        .unwrap();
    assert_eq!(page.entries.len(), acknowledged);
}

#[tokio::test]
async fn a_client_that_does_not_take_part_does_not_hold_it_up() {
    let mut config = Config::default();
    config.drain.deadline = Duration::from_secs(2);
    let edge = TestEdge::start_with(config).await;
    let mut raw = Raw::open(&edge).await;
    edge.shutdown.cancel();
    // The close is not answered.
    assert_eq!(raw.close_code().await, Some(1012));
    soon("the end", raw.end()).await;
}
