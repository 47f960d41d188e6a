//! Two servers of which one replicates the other, and Sentinels that watch them: real processes on ports of this machine.
//!
//! Sentinels do nothing by themselves until a test wants them to: what takes a slow machine for a dead server would
//! make another test of it.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::Value;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::{COMMAND_TIMEOUT, Certificates, RedisServer, program};

/// What the Sentinels call their master.
pub const MASTER: &str = "weir";
/// How long a change may take.
const DEADLINE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);
/// After how long without an answer a Sentinel takes a server for dead, in milliseconds: never, and soon.
const NEVER_MS: u64 = 3_600_000;
const SOON_MS: u64 = 500;

/// A primary, a replica, and Sentinels. All end when this is dropped.
#[derive(Debug)]
pub struct SentinelGroup {
    /// The primary is the first.
    servers: [Member; 2],
    sentinels: Vec<Sentinel>,
    scheme: &'static str,
}

#[derive(Debug)]
struct Member {
    server: RedisServer,
    port: u16,
}

impl SentinelGroup {
    /// Starts everything, with further command-line arguments of the two servers, and waits until the replica is in
    /// step and all Sentinels know of it and of each other.
    ///
    /// # Panics
    /// If that takes too long; so do the other calls.
    pub async fn start(sentinels: usize, arguments: &[&str]) -> Self {
        Self::start_with_primary(sentinels, arguments, arguments).await
    }

    /// The same with other arguments for the server that is the primary at first.
    pub async fn start_with_primary(sentinels: usize, primary: &[&str], arguments: &[&str]) -> Self {
        let primary = Member::start(primary).await;
        let replica = Member::start(arguments).await;
        let sentinel = |_| Sentinel::start(primary.port, sentinels / 2 + 1);
        let all = (0..sentinels).map(sentinel).collect();
        Self::unite([primary, replica], all, "redis-sentinel").await
    }

    /// The same where everybody speaks TLS to everybody, and proves itself by a certificate. Sentinels listen for the test
    /// without TLS as well.
    pub async fn start_with_tls(sentinels: usize, certificates: &Certificates) -> Self {
        let arguments = certificates.server_arguments("yes");
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (primary, replica) = (
            Member::start_with_tls(&arguments).await,
            Member::start_with_tls(&arguments).await,
        );
        let sentinel = |_| Sentinel::start_with_tls(primary.port, sentinels / 2 + 1, certificates);
        let all = (0..sentinels).map(sentinel).collect();
        Self::unite([primary, replica], all, "rediss-sentinel").await
    }

    async fn unite(servers: [Member; 2], sentinels: Vec<Sentinel>, scheme: &'static str) -> Self {
        let group = Self {
            servers,
            sentinels,
            scheme,
        };
        group.follow().await;
        for sentinel in &group.sentinels {
            let others = (group.sentinels.len() - 1).to_string();
            until("Sentinels know each other", async || {
                let state = sentinel.state().await?;
                Some(field(&state, "num-slaves")? == "1" && field(&state, "num-other-sentinels")? == others)
            })
            .await;
        }
        group
    }

    /// How an edge finds the primary.
    pub fn url(&self) -> String {
        let nodes: Vec<String> = self
            .sentinels
            .iter()
            .map(|sentinel| format!("127.0.0.1:{}", sentinel.tls_port.unwrap_or(sentinel.port)))
            .collect();
        format!("{}://{}/{MASTER}", self.scheme, nodes.join(","))
    }

    /// The server that takes writes.
    pub fn primary(&self) -> &RedisServer {
        &self.servers[0].server
    }

    /// The server that replicates it, or is dead.
    pub fn replica(&self) -> &RedisServer {
        &self.servers[1].server
    }

    /// One of the Sentinels.
    pub fn sentinel(&self, number: usize) -> &Sentinel {
        &self.sentinels[number]
    }

    /// The port of the primary.
    pub fn primary_port(&self) -> u16 {
        self.servers[0].port
    }

    /// Waits until the replica has all that the primary has now.
    pub async fn in_step(&self) {
        let offset = |info: &str, name: &str| line(info, name)?.parse::<u64>().ok();
        let primary = info(self.primary()).await.expect("the primary answers");
        let position = offset(&primary, "master_repl_offset").expect("a position");
        until("the replica is in step", async || {
            let replica = info(self.replica()).await?;
            Some(
                offset(&replica, "slave_repl_offset")? >= position
                    && line(&replica, "master_link_status")? == "up",
            )
        })
        .await;
    }

    /// The replica gets nothing any more, from what is written after this on, until [`SentinelGroup::restore`].
    pub async fn cut_replication(&self) {
        // It comes back at once, and is refused.
        ask(
            self.replica(),
            &["CONFIG", "SET", "masteruser", "nobody", "masterauth", "wrong"],
        )
        .await;
        ask(self.primary(), &["CLIENT", "KILL", "TYPE", "replica"]).await;
        until("replication is cut", async || {
            Some(line(&info(self.replica()).await?, "master_link_status")? == "down")
        })
        .await;
    }

    /// Kills the primary, waits until the Sentinels have noticed and made a primary of the replica.
    pub async fn fail_over(&mut self) {
        self.primary().kill();
        for sentinel in &self.sentinels {
            sentinel.takes_for_dead_after(SOON_MS).await;
        }
        self.promoted().await;
        for sentinel in &self.sentinels {
            sentinel.takes_for_dead_after(NEVER_MS).await;
        }
    }

    /// Kills the primary and has a Sentinel make a primary of the replica, however far behind that is.
    pub async fn fail_over_at_once(&mut self) {
        self.primary().kill();
        self.force().await;
    }

    /// Has a Sentinel make a primary of the replica while the old primary lives on. That one stays a primary for some
    /// seconds by its own word, until the Sentinels get to it; for good if it knows no `REPLICAOF`.
    pub async fn usurp(&mut self) {
        self.force().await;
    }

    async fn force(&mut self) {
        let first = &self.sentinels[0];
        until("a Sentinel takes the order", async || {
            Some(first.ask(&["SENTINEL", "FAILOVER", MASTER]).await.is_ok())
        })
        .await;
        self.promoted().await;
    }

    /// Waits until the replica is the primary by its own word and that of all Sentinels.
    async fn promoted(&mut self) {
        let wanted = self.servers[1].port.to_string();
        until("the replica is promoted", async || {
            Some(line(&info(self.replica()).await?, "role")? == "master")
        })
        .await;
        for sentinel in &self.sentinels {
            until("all Sentinels agree", async || {
                Some(field(&sentinel.state().await?, "port")? == wanted)
            })
            .await;
        }
        self.servers.swap(0, 1);
        ask(
            self.primary(),
            &["CONFIG", "SET", "masteruser", "", "masterauth", ""],
        )
        .await;
    }

    /// Starts the server again that is dead and makes a replica of it, in step with the primary, also where the
    /// replication was cut.
    pub async fn restore(&self) {
        if self.replica().pid().is_none() {
            self.replica().restart().await;
        }
        ask(
            self.replica(),
            &["CONFIG", "SET", "masteruser", "", "masterauth", ""],
        )
        .await;
        self.follow().await;
        let wanted = self.servers[1].port.to_string();
        for sentinel in &self.sentinels {
            until("the Sentinels see the replica", async || {
                let replicas = sentinel.ask(&["SENTINEL", "REPLICAS", MASTER]).await.ok()?;
                let Value::Array(replicas) = replicas else {
                    return None;
                };
                let replica = replicas
                    .iter()
                    .find(|state| field(state, "port").as_deref() == Some(&wanted))?;
                Some(field(replica, "flags")? == "slave" && field(replica, "master-link-status")? == "ok")
            })
            .await;
        }
    }

    async fn follow(&self) {
        let port = self.servers[0].port.to_string();
        ask(self.replica(), &["REPLICAOF", "127.0.0.1", &port]).await;
        self.in_step().await;
    }
}

impl Member {
    async fn start(arguments: &[&str]) -> Self {
        Self::start_on("--port", arguments).await
    }

    async fn start_with_tls(arguments: &[&str]) -> Self {
        let arguments = [&["--tls-replication", "yes"], arguments].concat();
        Self::start_on("--tls-port", &arguments).await
    }

    async fn start_on(port_option: &str, arguments: &[&str]) -> Self {
        let port = free_port();
        let text = port.to_string();
        let ours = [
            port_option,
            &text,
            "--bind",
            "127.0.0.1",
            "--repl-diskless-sync-delay",
            "0",
        ];
        let server = RedisServer::start_with_args(&[&ours[..], arguments].concat()).await;
        Self { server, port }
    }
}

/// One Sentinel, killed when this is dropped.
#[derive(Debug)]
pub struct Sentinel {
    port: u16,
    tls_port: Option<u16>,
    child: Child,
    _folder: TempDir,
}

impl Sentinel {
    /// Starts one that watches the server at a port of this machine, and needs the word of `quorum` to take it for dead.
    pub fn start(primary_port: u16, quorum: usize) -> Self {
        Self::launch(primary_port, quorum, None, "")
    }

    /// The same with TLS to the servers and to the other Sentinels, and for clients on a port of its own.
    pub fn start_with_tls(primary_port: u16, quorum: usize, certificates: &Certificates) -> Self {
        let tls_port = free_port();
        let settings = format!(
            "tls-port {tls_port}\ntls-replication yes\n{}",
            certificates.server_settings("yes")
        );
        Self::launch(primary_port, quorum, Some(tls_port), &settings)
    }

    fn launch(primary_port: u16, quorum: usize, tls_port: Option<u16>, settings: &str) -> Self {
        let folder = TempDir::with_prefix("weir-sentinel-").expect("a temporary folder");
        let port = free_port();
        let configuration = format!(
            "port {port}\nbind 127.0.0.1\nlogfile sentinel.log\n{settings}\
             sentinel monitor {MASTER} 127.0.0.1 {primary_port} {quorum}\n\
             sentinel down-after-milliseconds {MASTER} {NEVER_MS}\n\
             sentinel failover-timeout {MASTER} 5000\n"
        );
        fs::write(folder.path().join("sentinel.conf"), configuration).expect("a file for the Sentinel");
        let program = program();
        let child = Command::new(&program)
            .current_dir(folder.path())
            .args(["sentinel.conf", "--sentinel"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{program} cannot be started ({error}); is it installed?"));
        Self {
            port,
            tls_port,
            child,
            _folder: folder,
        }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it says to a command.
    pub async fn ask(&self, words: &[&str]) -> Result<Value, redis::RedisError> {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port))?;
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(COMMAND_TIMEOUT));
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        command(words).query_async(&mut connection).await
    }

    async fn state(&self) -> Option<Value> {
        self.ask(&["SENTINEL", "MASTER", MASTER]).await.ok()
    }

    async fn takes_for_dead_after(&self, ms: u64) {
        let ms = ms.to_string();
        until("a Sentinel takes a setting", async || {
            let words = ["SENTINEL", "SET", MASTER, "down-after-milliseconds", &ms];
            Some(self.ask(&words).await.is_ok())
        })
        .await;
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        // Fails only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody listens on at the moment.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

fn command(words: &[&str]) -> redis::Cmd {
    redis::cmd(words[0]).arg(&words[1..]).take()
}

/// A Sentinel that reconfigures a server cuts all its connections, ours too: then it is asked again.
async fn ask(server: &RedisServer, words: &[&str]) {
    until("a server is asked", async || {
        let done: Result<Value, _> = match server.connect().await {
            Ok(mut connection) => command(words).query_async(&mut connection).await,
            Err(error) => Err(error),
        };
        match done {
            Ok(_) => Some(true),
            Err(error) if error.is_io_error() => Some(false),
            Err(error) => panic!("{words:?}: {error}"),
        }
    })
    .await;
}

async fn info(server: &RedisServer) -> Option<String> {
    let mut connection = server.connect().await.ok()?;
    command(&["INFO", "replication"])
        .query_async(&mut connection)
        .await
        .ok()
}

/// A field of `INFO`.
fn line(info: &str, name: &str) -> Option<String> {
    let value = info
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(value.trim_end().to_owned())
}

/// A field of what a Sentinel says of a server: a map, or names and values in turn.
fn field(state: &Value, name: &str) -> Option<String> {
    let text = |value: &Value| <String as redis::FromRedisValue>::from_redis_value_ref(value).ok();
    match state {
        Value::Map(pairs) => pairs
            .iter()
            .find_map(|(key, value)| (text(key)? == name).then(|| text(value))?),
        Value::Array(parts) => parts
            .chunks(2)
            .find_map(|pair| (text(&pair[0])? == name).then(|| text(pair.get(1)?))?),
        _ => None,
    }
}

/// Waits until the answer is yes; `None` is no.
async fn until(what: &str, mut condition: impl AsyncFnMut() -> Option<bool>) {
    let deadline = Instant::now() + DEADLINE;
    while condition().await != Some(true) {
        assert!(Instant::now() < deadline, "not in time: {what}");
        sleep(POLL).await;
    }
}
