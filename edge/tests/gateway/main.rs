//! Socket.IO as front ends use it: the official client, in Node.js, against edges in this process and edges of their
//! own; on the in-memory engine, and on a real Redis.
//!
//! Needs `redis-server`, and Node 18 or newer with the packages of `edge/tests/js` (`npm ci` in there); a test that does
//! not find what it needs fails and says so.

#![allow(clippy::unwrap_used, unreachable_pub)]

mod client;
#[allow(dead_code)]
#[path = "../tails/engines.rs"]
mod engines;
mod process;
mod proxy;
#[path = "../support/mod.rs"]
mod support;

mod built_in;
mod documentation;
mod ephemeral;
mod example;
mod metrics;
mod no_sticky_sessions;
mod payloads;
mod recovery;
mod recovery_of_processes;
mod routes;
mod slow_log;

/// Two edges, each with a connection of its own to the log if there is a server.
async fn two_edges(engine: &engines::Engine) -> [support::TestEdge; 2] {
    let other: std::sync::Arc<dyn broker::Log> = match &engine.redis {
        Some(_) => {
            let config = engine.config.redis_config().unwrap().unwrap();
            broker::RedisLog::connect(config).await.unwrap()
        }
        None => engine.log.clone(),
    };
    let other = support::TestEdge::start_on(other, engine.config.clone()).await;
    [engine.edge().await, other]
}
