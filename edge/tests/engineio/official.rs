//! The official client, in Node.js.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use edge::engineio::{Ended, Settings};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::client::soon;
use crate::forwarding::Edges2;
use crate::lab::Server;

/// A client; see `engineio_client.mjs`.
struct Official {
    orders: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Official {
    fn start(server: SocketAddr, options: &Value) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/js");
        assert!(
            folder.join("node_modules/engine.io-client").is_dir(),
            "this test needs Node 18 or newer and the packages of edge/tests/js: run `npm ci` in that folder"
        );
        let mut child = Command::new("node")
            .arg(folder.join("engineio_client.mjs"))
            .args([format!("http://{server}"), options.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("this test needs Node 18 or newer, which cannot be started: {error}")
            });
        Self {
            orders: child.stdin.take().unwrap(),
            lines: BufReader::new(child.stdout.take().unwrap()).lines(),
            _child: child,
        }
    }

    async fn open(server: SocketAddr, transports: Value) -> Self {
        let first = transports[0].clone();
        let mut client = Self::start(server, &json!({"transports": transports}));
        let open = json!({"told": "open", "transport": first});
        assert_eq!(client.told().await, open);
        client
    }

    async fn order(&mut self, order: Value) {
        let line = format!("{order}\n");
        self.orders.write_all(line.as_bytes()).await.unwrap();
    }

    /// What the client tells next; its pings are not worth a word.
    async fn told(&mut self) -> Value {
        loop {
            let line = soon("the client", self.lines.next_line()).await.unwrap();
            let told: Value = serde_json::from_str(&line.expect("the client has died")).unwrap();
            if told["told"] != "ping" {
                return told;
            }
        }
    }

    /// Sends `count` messages, text and binary in turn, and expects them back in order. Returns whether the client
    /// changed its transport meanwhile.
    async fn echoes(&mut self, count: usize) -> bool {
        let message = |n: usize| match n % 3 {
            0 => ("hex", format!("{n:08x}{}", "ab".repeat(n * 7 % 5_000))),
            _ => ("text", format!("{n} äöü {}", "x".repeat(n * 13 % 3_000))),
        };
        for n in 0..count {
            let (kind, value) = message(n);
            self.order(json!({kind: value})).await;
        }
        let mut changed = false;
        for n in 0..count {
            let (kind, value) = message(n);
            let mut told = self.told().await;
            if told["told"] == "upgrade" {
                changed = true;
                told = self.told().await;
            }
            assert_eq!(told, json!({"told": kind, "value": value}));
        }
        changed
    }
}

fn brisk() -> Settings {
    Settings {
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(2_000),
        ..Settings::default()
    }
}

#[tokio::test]
async fn each_transport_carries_text_and_binary_in_order() {
    let server = Server::start_set(brisk()).await;
    for (count, transport) in ["polling", "websocket"].into_iter().enumerate() {
        let mut client = Official::open(server.address, json!([transport])).await;
        assert!(!client.echoes(300).await);
        client.order(json!({"close": true})).await;
        let close = json!({"told": "close", "reason": "forced close"});
        assert_eq!(client.told().await, close, "{transport}");
        assert_eq!(
            server.lab.ended(count + 1).await[count],
            Ended::Client,
            "{transport}"
        );
    }
}

#[tokio::test]
async fn the_change_loses_nothing_and_keeps_the_order() {
    let server = Server::start_set(brisk()).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = Official::open(server.address, json!(["polling", "websocket"])).await;
        clients.push(tokio::spawn(async move {
            // Messages are under way all the time, so that some cross with the change.
            let mut changed = false;
            for _ in 0..20 {
                changed |= client.echoes(60).await;
            }
            assert!(changed);
        }));
    }
    for client in clients {
        soon("a client", client).await.unwrap();
    }
}

#[tokio::test]
async fn a_client_that_is_left_alone_stays() {
    let server = Server::start_set(brisk()).await;
    let mut polling = Official::open(server.address, json!(["polling"])).await;
    let mut websocket = Official::open(server.address, json!(["websocket"])).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(server.lab.ended_so_far(), 0);
    polling.echoes(3).await;
    websocket.echoes(3).await;
}

#[tokio::test]
async fn the_end_of_the_edge_looks_like_a_lost_connection() {
    for transport in ["polling", "websocket"] {
        let server = Server::start_set(brisk()).await;
        let mut client = Official::open(server.address, json!([transport])).await;
        client.echoes(10).await;
        server.shutdown.cancel();
        loop {
            let told = client.told().await;
            // Socket.IO clients come back by themselves after these.
            if told["told"] == "close" {
                let reason = told["reason"].as_str().unwrap();
                assert!(
                    ["transport close", "transport error"].contains(&reason),
                    "{transport}: {reason}"
                );
                break;
            }
        }
        server.lab.ended(1).await;
    }
}

/// Passes each connection on to the next server in turn, as a load balancer does that knows nothing of sessions. Counts
/// them in `turns`.
async fn round_robin(servers: Vec<SocketAddr>, turns: Arc<AtomicUsize>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let servers = Arc::new(servers);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let turn = turns.fetch_add(1, Ordering::Relaxed);
            let servers = Arc::clone(&servers);
            tokio::spawn(async move {
                let server = TcpStream::connect(servers[turn % servers.len()]).await;
                if let Ok(mut server) = server {
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn behind_a_round_robin_every_client_reaches_its_session() {
    let edges = Edges2::new();
    let servers = [edges.start().await, edges.start().await, edges.start().await];
    let addresses = servers.iter().map(|server| server.address).collect();
    let turns = Arc::new(AtomicUsize::new(0));
    let front = round_robin(addresses, Arc::clone(&turns)).await;
    for transports in [json!(["polling"]), json!(["polling", "websocket"])] {
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(Official::open(front, transports.clone()).await);
        }
        for client in &mut clients {
            let mut changed = false;
            for _ in 0..6 {
                changed |= client.echoes(40).await;
            }
            assert_eq!(changed, transports.as_array().unwrap().len() > 1);
        }
    }
    // Otherwise every client would have stayed with the edge that it met first.
    assert!(turns.load(Ordering::Relaxed) > 50);
}
