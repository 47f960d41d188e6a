//! An edge with the configuration of `compose.yaml` stays within its memory limit there when its clients ask for all that they may
//! and read nothing: half of history, each from a place of its own, the others of what is published now, over every
//! transport, with all rings full.
//!
//! A moderate number of them is part of the tests. As many as the edge admits, all over HTTP, where each costs the most:
//!
//! ```text
//! WEIR_FAULTS=full cargo test --release -p edge --test memory_limit -- --nocapture
//! ```

#![allow(clippy::unwrap_used)]

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use broker::testing::{RedisServer, free_port};
use edge::config::Config;
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

/// Longest wait for each thing that has to come.
const PART: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(20);
/// Connections from one address: ports must not run out.
const PER_ADDRESS: usize = 5_000;
/// More than the head of an answer and whatever is said before the first event.
const HAS_BEGUN_BYTES: usize = 1_500;
/// Asked of the system for the sockets of clients that do not read.
const RECEIVE_BYTES: usize = 4 * 1024;

/// What an edge may have at its peak beside what is told here: its code, its threads, pages that are being read, and what the
/// allocator keeps.
const BESIDE_BYTES: u64 = 64 << 20;
/// What a client may cost that has asked for history and reads nothing: its connection, what was made of some events
/// for it, and one event that it waits for.
const SLEEPER_BYTES: u64 = 96 << 10;
/// An event of the streams that are read.
const EVENT_BYTES: usize = 4 << 10;
/// Events of each of them: more than a page, and more than a ring has.
const EVENTS: usize = 600;

/// How much of everything there is.
struct Size {
    sleepers: usize,
    streams: usize,
    /// `hub.rings_bytes` and `hub.history_bytes`.
    budget: u64,
}

/// A running edge.
struct Edge {
    address: SocketAddr,
    child: Child,
    _folder: TempDir,
    redis: RedisServer,
}

impl Edge {
    /// With the configuration of `compose.yaml`, but for its budgets if there are others.
    async fn start(budget: Option<u64>) -> Self {
        let redis = RedisServer::start().await;
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("ops/compose/weir.toml");
        let mut text = std::fs::read_to_string(file).unwrap();
        let folder = TempDir::with_prefix("weir-memory-").unwrap();
        if let Some(budget) = budget {
            let budgets = text.matches("\"64MiB\"").count();
            assert_eq!(budgets, 2, "{text}");
            text = text.replace("\"64MiB\"", &format!("\"{budget}\""));
        }
        let file = folder.path().join("weir.toml");
        std::fs::write(&file, text).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_weir"))
            .args(["serve", "--listen", &address.to_string(), "--redis", &redis.url()])
            .arg("--config")
            .arg(file)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let edge = Self {
            address,
            child,
            _folder: folder,
            redis,
        };
        until("the edge listens", || TcpStream::connect(address).is_ok()).await;
        edge
    }

    fn memory(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PART;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain for this: {what}");
        tokio::time::sleep(POLL).await;
    }
}

/// What a client asks for and does not read.
#[derive(Debug, Clone, Copy)]
enum Way {
    Sse,
    WebSocket,
    SocketIo,
}

const WAYS: [Way; 3] = [Way::Sse, Way::WebSocket, Way::SocketIo];

/// Connects from an address that still has ports.
fn connect(edge: SocketAddr, number: usize, receive_bytes: Option<usize>) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    if let Some(bytes) = receive_bytes {
        socket.set_recv_buffer_size(bytes).unwrap();
    }
    let local = IpAddr::from([127, 0, 3, (1 + number / PER_ADDRESS) as u8]);
    socket.bind(&SocketAddr::new(local, 0).into()).unwrap();
    socket.connect(&edge.into()).unwrap();
    socket.into()
}

/// A masked text frame, with a key of zeros.
fn frame(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap();
    assert!(length < 126);
    [&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat()
}

/// A client that follows a stream from behind an entry on, has said all that it has to say for that, and reads no event.
fn sleeper(edge: SocketAddr, number: usize, way: Way, stream: &str, from: &str) -> TcpStream {
    let mut socket = connect(edge, number, Some(RECEIVE_BYTES));
    let upgrade = "upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: d2VpciBpcyBtZWFzdXJlZA==\r\n";
    let get = |target: &str, headers: &str| {
        format!("GET {target} HTTP/1.1\r\nhost: x\r\n{headers}\r\n").into_bytes()
    };
    match way {
        Way::Sse => {
            let target = format!("/v1/streams/{stream}?from={from}");
            say(&mut socket, &get(&target, "accept: text/event-stream\r\n"));
        }
        Way::WebSocket => {
            let subscribe = format!(r#"{{"type":"subscribe","stream":"{stream}","from":"{from}"}}"#);
            say(&mut socket, &[get("/v1/ws", upgrade), frame(&subscribe)].concat());
        }
        Way::SocketIo => {
            say(
                &mut socket,
                &get("/socket.io/?EIO=4&transport=websocket", upgrade),
            );
            hear(&mut socket, b"0{\"sid\"");
            say(&mut socket, &frame("40"));
            hear(&mut socket, b"40{\"sid\"");
            let subscribe = format!(r#"420["subscribe",{{"stream":"{stream}","from":"{from}"}}]"#);
            say(&mut socket, &frame(&subscribe));
        }
    }
    socket.set_nonblocking(true).unwrap();
    socket
}

fn say(socket: &mut TcpStream, bytes: &[u8]) {
    socket.write_all(bytes).unwrap();
}

/// Reads until the server has said this.
fn hear(socket: &mut TcpStream, what: &[u8]) {
    socket.set_read_timeout(Some(PART)).unwrap();
    let (mut heard, mut byte) = (Vec::new(), [0]);
    while !heard.ends_with(what) {
        socket.read_exact(&mut byte).unwrap();
        heard.push(byte[0]);
    }
}

/// Whether events have come, as many as fit.
fn has_begun(socket: &TcpStream) -> bool {
    let mut bytes = [0; 2 * HAS_BEGUN_BYTES];
    match socket.peek(&mut bytes) {
        Ok(0) => panic!("the edge has closed the connection"),
        Ok(came) => came > HAS_BEGUN_BYTES,
        Err(error) if error.kind() == ErrorKind::WouldBlock => false,
        Err(error) => panic!("{error}"),
    }
}

/// Adds events to a stream; returns their IDs.
async fn fill(redis: &RedisServer, stream: &str, events: usize) -> Vec<String> {
    let mut connection = redis.connection().await;
    let data = format!("\"{}\"", "x".repeat(EVENT_BYTES));
    let mut pipe = redis::pipe();
    for _ in 0..events {
        pipe.cmd("XADD")
            .arg(format!("weir:{{{stream}}}"))
            .arg("*")
            .arg("d")
            .arg(&data);
    }
    pipe.query_async(&mut connection).await.unwrap()
}

fn is_full() -> bool {
    std::env::var("WEIR_FAULTS").is_ok_and(|size| size == "full")
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_ask_for_everything_and_read_nothing_do_not_exceed_the_limit() {
    let (size, edge) = if is_full() {
        let size = Size {
            // One is left for whoever asks whether the edge listens.
            sleepers: config_of_compose().limits.connections_max - 1,
            streams: 100,
            budget: 64 << 20,
        };
        (size, Edge::start(None).await)
    } else {
        let size = Size {
            sleepers: 300,
            streams: 10,
            budget: 16 << 20,
        };
        let edge = Edge::start(Some(size.budget)).await;
        (size, edge)
    };
    rlimit::increase_nofile_limit(rlimit::INFINITY).unwrap();
    let names: Vec<String> = (0..size.streams).map(|stream| format!("s{stream}")).collect();
    let mut ids = Vec::new();
    for name in &names {
        ids.push(fill(&edge.redis, name, EVENTS).await);
    }
    let idle = edge.memory("VmHWM:");
    let mut sleepers = Vec::new();
    for number in 0..size.sleepers {
        let (stream, turn) = (number % size.streams, number / size.streams);
        // The cursor of an entry of a stream that is new.
        let entry = turn % EVENTS;
        let from = match turn % 2 {
            0 => format!("{}.{}", ids[stream][entry], entry + 1),
            _ => "now".to_owned(),
        };
        // All over HTTP is the most: there the most waits in the edge for each.
        let way = if is_full() {
            Way::Sse
        } else {
            WAYS[number % WAYS.len()]
        };
        sleepers.push(sleeper(edge.address, number, way, &names[stream], &from));
    }
    // Those who asked for history have begun; the others begin with what comes now, which fills the rings.
    let of_history = |number: usize| (number / size.streams).is_multiple_of(2);
    let begun = |of: &dyn Fn(usize) -> bool| {
        let mut asked = sleepers.iter().enumerate().filter(|(number, _)| of(*number));
        asked.all(|(_, socket)| has_begun(socket))
    };
    until("readers of history get events", || begun(&of_history)).await;
    for name in &names {
        fill(&edge.redis, name, EVENTS).await;
    }
    until("all get events", || begun(&|_| true)).await;

    let (peak, limit) = (edge.memory("VmHWM:"), limit_of_compose());
    let mib = |bytes: u64| bytes >> 20;
    println!(
        "{} clients that do not read: {} MiB at the peak, {} MiB before, {} MiB is the limit",
        size.sleepers,
        mib(peak),
        mib(idle),
        mib(limit)
    );
    let may = BESIDE_BYTES + 2 * size.budget + size.sleepers as u64 * SLEEPER_BYTES;
    assert!(peak < limit, "{} MiB", mib(peak));
    assert!(
        is_full() || peak - idle < may,
        "{} MiB more than idle, and {} MiB may be",
        mib(peak - idle),
        mib(may)
    );
}

fn config_of_compose() -> Config {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("ops/compose/weir.toml");
    Config::from_toml(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// What `compose.yaml` gives an edge.
fn limit_of_compose() -> u64 {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../compose.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    let (edge, _) = text.split_once("\nservices:").unwrap();
    let line = edge
        .lines()
        .find_map(|line| line.trim().strip_prefix("mem_limit: "));
    line.unwrap().strip_suffix('m').unwrap().parse::<u64>().unwrap() << 20
}
