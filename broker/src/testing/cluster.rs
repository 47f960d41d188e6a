//! A real Redis Cluster for tests: masters and their replicas, each a `redis-server` of its own.

use std::time::Duration;

use redis::{Cmd, FromRedisValue, RedisResult, Value, cmd};
use tokio::time::{Instant, sleep};

use super::{RedisServer, free_port};

/// How long the cluster may take to agree on something.
const AGREEMENT_DEADLINE: Duration = Duration::from_secs(60);
const AGREEMENT_POLL: Duration = Duration::from_millis(20);
const SLOTS: usize = 16_384;

/// A running cluster; its servers are killed when this is dropped.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<ClusterNode>,
    masters: usize,
}

/// One server of a cluster.
#[derive(Debug)]
pub struct ClusterNode {
    /// The server.
    pub server: RedisServer,
    port: u16,
    bus_port: u16,
    id: String,
}

impl RedisCluster {
    /// Starts a cluster of `masters`, each with one replica if `replicas`; node `masters + n` is that of node `n`.
    ///
    /// # Panics
    /// If it does not come up in time; so do the other calls.
    pub async fn start(masters: usize, replicas: bool) -> Self {
        let mut nodes = Vec::new();
        for _ in 0..masters * if replicas { 2 } else { 1 } {
            nodes.push(ClusterNode::start().await);
        }
        let cluster = Self { nodes, masters };
        let first = &cluster.nodes[0];
        for (n, node) in cluster.nodes.iter().enumerate() {
            node.run::<Value>(cmd("CLUSTER").arg("SET-CONFIG-EPOCH").arg(n + 1))
                .await;
            let mut meet = cmd("CLUSTER");
            meet.arg("MEET")
                .arg("127.0.0.1")
                .arg(first.port)
                .arg(first.bus_port);
            node.run::<Value>(&mut meet).await;
        }
        for (n, node) in cluster.nodes[..masters].iter().enumerate() {
            let mut add = cmd("CLUSTER");
            let (from, to) = (n * SLOTS / masters, (n + 1) * SLOTS / masters - 1);
            node.run::<Value>(add.arg("ADDSLOTSRANGE").arg(from).arg(to))
                .await;
        }
        let all = format!("cluster_known_nodes:{}", cluster.nodes.len());
        cluster
            .everywhere("CLUSTER INFO", |info| info.contains(&all))
            .await;
        for (n, node) in cluster.nodes[masters..].iter().enumerate() {
            let id = &cluster.nodes[n].id;
            let replicate = async || {
                node.try_run::<Value>(cmd("CLUSTER").arg("REPLICATE").arg(id))
                    .await
                    .is_ok()
            };
            until("a replica knows its master", replicate).await;
        }
        cluster
            .everywhere("CLUSTER INFO", |info| info.contains("cluster_state:ok"))
            .await;
        for node in &cluster.nodes[masters..] {
            let linked = async || {
                node.info("INFO replication")
                    .await
                    .contains("master_link_status:up")
            };
            until("a replica follows its master", linked).await;
        }
        cluster
    }

    /// `redis-cluster://…`, naming every node.
    pub fn url(&self) -> String {
        let hosts: Vec<String> = self
            .nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.port))
            .collect();
        format!("redis-cluster://{}", hosts.join(","))
    }

    /// All servers, the masters that it began with first.
    pub fn nodes(&self) -> &[ClusterNode] {
        &self.nodes
    }

    /// The slot of a key, and which of the masters that it began with has it by that beginning.
    pub async fn first_owner(&self, key: &str) -> (u16, usize) {
        let slot: u16 = self.nodes[0].run(cmd("CLUSTER").arg("KEYSLOT").arg(key)).await;
        let has = |n: &usize| usize::from(slot) < (n + 1) * SLOTS / self.masters;
        (
            slot,
            (0..self.masters).find(has).expect("every slot has an owner"),
        )
    }

    /// Opens the way for a slot from one master to another: what is not there any more or not yet is asked for at the
    /// other.
    pub async fn begin_move(&self, slot: u16, from: usize, to: usize) {
        let (from, to) = (&self.nodes[from], &self.nodes[to]);
        let set = |how: &str, id: &str| cmd("CLUSTER").arg("SETSLOT").arg(slot).arg(how).arg(id).take();
        to.run::<Value>(&mut set("IMPORTING", &from.id)).await;
        from.run::<Value>(&mut set("MIGRATING", &to.id)).await;
    }

    /// Moves every key of a slot.
    pub async fn move_keys(&self, slot: u16, from: usize, to: usize) {
        let (from, to) = (&self.nodes[from], &self.nodes[to]);
        loop {
            let keys: Vec<String> = from
                .run(cmd("CLUSTER").arg("GETKEYSINSLOT").arg(slot).arg(100))
                .await;
            if keys.is_empty() {
                return;
            }
            let mut migrate = cmd("MIGRATE");
            migrate
                .arg("127.0.0.1")
                .arg(to.port)
                .arg("")
                .arg(0)
                .arg(5_000)
                .arg("KEYS")
                .arg(keys);
            from.run::<Value>(&mut migrate).await;
        }
    }

    /// Gives the slot to its new master.
    pub async fn end_move(&self, slot: u16, from: usize, to: usize) {
        let id = &self.nodes[to].id;
        for node in [to, from] {
            let mut set = cmd("CLUSTER");
            self.nodes[node]
                .run::<Value>(set.arg("SETSLOT").arg(slot).arg("NODE").arg(id))
                .await;
        }
    }

    async fn everywhere(&self, command: &str, holds: impl Fn(&str) -> bool) {
        for node in &self.nodes {
            until(command, async || holds(&node.info(command).await)).await;
        }
    }
}

impl ClusterNode {
    async fn start() -> Self {
        let (port, bus_port) = (free_port(), free_port());
        let (port_text, bus_text) = (port.to_string(), bus_port.to_string());
        let server = RedisServer::start_with_args(&[
            "--port",
            &port_text,
            "--bind",
            "127.0.0.1",
            "--cluster-enabled",
            "yes",
            "--cluster-port",
            &bus_text,
            "--cluster-node-timeout",
            "1500",
            "--repl-diskless-sync-delay",
            "0",
        ])
        .await;
        let mut node = Self {
            server,
            port,
            bus_port,
            id: String::new(),
        };
        node.id = node.run(cmd("CLUSTER").arg("MYID")).await;
        node
    }

    /// Runs a command at this very node.
    pub async fn run<T: FromRedisValue>(&self, command: &mut Cmd) -> T {
        self.try_run(command).await.expect("the node does it")
    }

    async fn try_run<T: FromRedisValue>(&self, command: &mut Cmd) -> RedisResult<T> {
        command.query_async(&mut self.server.connection().await).await
    }

    async fn info(&self, command: &str) -> String {
        let mut words = command.split(' ');
        let mut asked = cmd(words.next().unwrap_or_default());
        words.for_each(|word| {
            asked.arg(word);
        });
        self.run(&mut asked).await
    }

    /// Waits until it is a master that serves.
    pub async fn promoted(&self) {
        until("the replica is promoted", async || {
            self.info("INFO replication").await.contains("role:master")
        })
        .await;
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + AGREEMENT_DEADLINE;
    while !holds().await {
        assert!(
            Instant::now() < deadline,
            "the cluster does not agree in time: {what}"
        );
        sleep(AGREEMENT_POLL).await;
    }
}
