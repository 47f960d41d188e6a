//! No sticky sessions: every edge takes every request, wherever its session is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use broker::{Edges, MemoryClock, MemoryEdges};
use edge::cluster::{Cluster, Host, Presence};
use edge::engineio::{Elsewhere, Ended};
use shared::EdgeId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::{Came, Poller, Socket, answer, bad, http, ok, soon, unknown};
use crate::lab::{Server, Wishes};

const SECRET: &[u8] = b"0123456789abcdef";

/// Edges that know each other, or would if they were announced.
pub struct Edges2 {
    known: Arc<MemoryEdges>,
}

impl Edges2 {
    pub fn new() -> Self {
        Self {
            known: Arc::new(MemoryEdges::new(MemoryClock::default())),
        }
    }

    pub async fn start(&self) -> Server {
        self.start_knowing(SECRET).await
    }

    async fn start_knowing(&self, secret: &'static [u8]) -> Server {
        let known: Arc<dyn Edges> = Arc::clone(&self.known) as _;
        let server = Server::start_with(Wishes {
            elsewhere: Some(Box::new(move |hosting| {
                let cluster = Cluster::new(
                    known,
                    Host {
                        tasks: hosting.tasks.clone(),
                        drain: hosting.drain.clone(),
                        answer_timeout: Duration::from_secs(60),
                        peer_timeout: Duration::from_secs(60),
                    },
                );
                cluster.set_secret(secret);
                Arc::new(cluster) as Arc<dyn Elsewhere>
            })),
            ..Wishes::default()
        })
        .await;
        self.announce(server.edge, server.address).await;
        server
    }

    async fn announce(&self, edge: EdgeId, address: SocketAddr) {
        let ttl = Duration::from_secs(600);
        self.known
            .announce(edge, &address.to_string(), ttl)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_client_that_polls_may_ask_any_edge() {
    let edges = Edges2::new();
    let (own, other) = (edges.start().await, edges.start().await);
    let client = Poller::open(own.address).await;
    assert!(client.sid.starts_with(own.edge.as_str()));
    for n in 0..20 {
        let (there, here) = match n % 2 {
            0 => (other.address, own.address),
            _ => (own.address, other.address),
        };
        assert_eq!(
            client.post(there, format!("4hello {n}\u{1e}bAQID")).await,
            ok("ok")
        );
        assert_eq!(client.get(here).await, ok(&format!("4hello {n}\u{1e}bAQID")));
    }
    // A GET that waits elsewhere is answered when there is something to say.
    let waiting = tokio::spawn({
        let (client, address) = (client.clone(), other.address);
        async move { client.get(address).await }
    });
    assert_eq!(client.post(own.address, "4now").await, ok("ok"));
    assert_eq!(waiting.await.unwrap(), ok("4now"));
    // So are the rules.
    let large = vec![b'4'; 1_000_001];
    assert_eq!(client.post(other.address, large).await.0, 413);
    assert_eq!(client.post(other.address, "nonsense").await, bad());
    assert_eq!(client.get(other.address).await, unknown());
    assert_eq!(own.lab.ended(1).await, [Ended::Broken]);
    assert_eq!(other.lab.ended_so_far(), 0);
}

#[tokio::test]
async fn a_get_that_is_given_up_is_given_up_at_its_edge() {
    let edges = Edges2::new();
    let (own, other) = (edges.start().await, edges.start().await);
    let client = Poller::open(own.address).await;
    soon("the end of the session", async {
        while own.lab.ended_so_far() == 0 {
            let (client, address) = (client.clone(), other.address);
            let waiting = tokio::spawn(async move { client.get(address).await });
            // One that is given up before it has come to its edge does nothing.
            tokio::time::sleep(Duration::from_millis(50)).await;
            waiting.abort();
        }
    })
    .await;
    assert_eq!(own.lab.ended(1).await, [Ended::Lost]);
    assert_eq!(client.get(other.address).await, unknown());
}

#[tokio::test]
async fn a_client_may_change_to_a_websocket_at_any_edge() {
    let edges = Edges2::new();
    let (own, other) = (edges.start().await, edges.start().await);
    let client = Poller::open(own.address).await;
    let mut socket = Socket::upgrade(other.address, &client.sid).await;
    socket.echo("through").await;
    assert_eq!(client.get(own.address).await, bad());
    // Much, both ways, in pieces that no buffer holds.
    let large = vec![b'x'; 900_000];
    for _ in 0..5 {
        socket.send_binary(&large).await;
    }
    for _ in 0..5 {
        assert_eq!(socket.next().await, Came::Binary(large.clone()));
    }
    // A second one is turned away.
    let mut second = Socket::connect(other.address, Some(&client.sid)).await;
    assert_eq!(second.end().await, Came::Closed(1000));
    // The end of either side is the end of the other.
    socket.send("4close").await;
    assert_eq!(socket.next().await, Came::Text("4closing".into()));
    assert_eq!(socket.next().await, Came::Closed(1000));
    assert_eq!(own.lab.ended(1).await, [Ended::Protocol]);

    let client = Poller::open(own.address).await;
    let mut socket = Socket::upgrade(other.address, &client.sid).await;
    socket.echo("again").await;
    drop(socket);
    assert_eq!(own.lab.ended(2).await[1], Ended::Lost);
}

#[tokio::test]
async fn what_waits_in_a_tunnel_for_a_slow_client_is_bounded() {
    let edges = Edges2::new();
    let (own, other) = (edges.start().await, edges.start().await);
    let client = Poller::open(own.address).await;
    let mut socket = Socket::upgrade(other.address, &client.sid).await;
    socket.echo("here").await;
    socket.send("4flood").await;
    let flooded = || own.lab.flooded.load(std::sync::atomic::Ordering::Relaxed);
    // It stops when everything on the way is full.
    soon("the flood to stop", async {
        loop {
            let before = flooded();
            tokio::time::sleep(Duration::from_millis(500)).await;
            if before > 0 && flooded() == before {
                break;
            }
        }
    })
    .await;
    assert!(flooded() * crate::lab::FLOOD_BYTES < 64 * 1024 * 1024);
    // And goes on when the client does.
    let before = flooded();
    for _ in 0..before + 100 {
        assert!(matches!(socket.next().await, Came::Binary(_)));
    }
    assert!(flooded() >= before + 100);
}

#[tokio::test]
async fn without_its_edge_a_session_is_unknown() {
    let edges = Edges2::new();
    let (own, other) = (edges.start().await, edges.start().await);
    let client = Poller::open(own.address).await;
    // It has no address any more.
    edges.known.withdraw(own.edge).await.unwrap();
    assert_eq!(client.get(other.address).await, unknown());
    // Nobody is there.
    let nowhere = TcpStream::connect(own.address).await.unwrap();
    let free = nowhere.local_addr().unwrap();
    drop(nowhere);
    edges.announce(own.edge, free).await;
    assert_eq!(client.get(other.address).await, unknown());
    // Another edge is there by now: it does not ask on.
    edges.announce(own.edge, other.address).await;
    tokio::time::sleep(shared::limits::CLUSTER_ADDRESS_MEMORY).await;
    assert_eq!(client.get(other.address).await, unknown());
    assert_eq!(client.post(other.address, "4x").await, unknown());
    let mut raw = TcpStream::connect(other.address).await.unwrap();
    let request = format!(
        "GET /engine.io/?EIO=4&transport=websocket&sid={} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\
         Connection: Upgrade, close\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        client.sid
    );
    raw.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0; 12];
    soon("an answer", raw.read_exact(&mut head)).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 400");
}

#[tokio::test]
async fn only_edges_with_the_secret_are_believed() {
    let edges = Edges2::new();
    let own = edges.start().await;
    let stranger = edges.start_knowing(b"another secret!!").await;
    let client = Poller::open(own.address).await;
    let forbidden = (403, r#"{"code":4,"message":"Forbidden"}"#.to_owned());
    assert_eq!(client.get(stranger.address).await, forbidden);
    let forged = http()
        .get(client.url(own.address))
        .header("weir-forwarded", "1700000000000.AAAA");
    assert_eq!(answer(forged).await, forbidden);
    // The session does not suffer from it.
    assert_eq!(client.post(own.address, "4x").await, ok("ok"));
    assert_eq!(client.get(own.address).await, ok("4x"));
}

#[tokio::test]
async fn a_tunnel_ends_with_the_edge_that_it_goes_through() {
    let edges = Edges2::new();
    let (own, other) = (edges.start().await, edges.start().await);
    let client = Poller::open(own.address).await;
    let mut socket = Socket::upgrade(other.address, &client.sid).await;
    socket.echo("through").await;
    other.shutdown.cancel();
    assert_eq!(socket.end().await, Came::Lost);
    assert_eq!(own.lab.ended(1).await, [Ended::Lost]);
    soon("the tasks", other.hosting.tasks.wait()).await;
}

#[tokio::test]
async fn edges_announce_themselves_and_agree_on_a_secret() {
    let known: Arc<dyn Edges> = Arc::new(MemoryEdges::new(MemoryClock::default()));
    let (tasks, drain) = (Default::default(), tokio_util::sync::CancellationToken::new());
    let host = Host {
        tasks,
        drain: drain.clone(),
        answer_timeout: Duration::from_secs(60),
        peer_timeout: Duration::from_secs(60),
    };
    let mut keeping = Vec::new();
    let mut clusters = Vec::new();
    for n in 0..2 {
        let cluster = Arc::new(Cluster::new(Arc::clone(&known), host.clone()));
        let presence = Presence {
            edge: EdgeId::from_random([n; 6]),
            address: format!("edge-{n}:7400"),
            secret: None,
        };
        keeping.push(tokio::spawn(presence.keep(Arc::clone(&cluster))));
        clusters.push(cluster);
    }
    soon("both edges", async {
        for n in 0..2 {
            let edge = EdgeId::from_random([n; 6]);
            while known.find(edge).await.unwrap() != Some(format!("edge-{n}:7400")) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    })
    .await;
    drain.cancel();
    for keeping in keeping {
        soon("the end of a presence", keeping).await.unwrap();
    }
    for n in 0..2 {
        assert_eq!(known.find(EdgeId::from_random([n; 6])).await.unwrap(), None);
    }
}
