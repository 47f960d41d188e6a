//! A TCP proxy that cuts connections: after so many bytes in one direction, at a random byte, wherever in a frame
//! that is; and one that is a bad network: slow, or down, with or without saying so ([`Impairment`]). It never looks into
//! the bytes.

mod link;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use link::Impairment;
use link::{Link, reset_when_closed};

/// A connection that is to be cut soon lives for so many more bytes at the most.
const SOON_BYTES_MAX: u64 = 64 * 1024;

/// Where connections go.
#[derive(Debug, Clone)]
pub enum Upstream {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
    /// Each connection to the next of several servers; past those that take none.
    RoundRobin(Vec<SocketAddr>),
    /// All connections of a client's address to the same of several servers, as long as that takes them: sticky.
    ByClient(Vec<SocketAddr>),
}

impl Upstream {
    /// The servers to try for connection number `accepted`, from `client`, in this order.
    fn servers(&self, accepted: u64, client: IpAddr) -> Vec<SocketAddr> {
        let (servers, first) = match self {
            Self::Unix(_) => return Vec::new(),
            Self::Tcp(address) => return vec![*address],
            Self::RoundRobin(servers) => (servers, accepted),
            Self::ByClient(servers) => (servers, u64::from(last_byte(client))),
        };
        let mut servers = servers.clone();
        let first = first as usize % servers.len();
        servers.rotate_left(first);
        servers
    }
}

fn last_byte(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(address) => address.octets()[15],
    }
}

/// A running proxy; it closes everything when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
}

struct Shared {
    upstream: Upstream,
    /// New connections are cut after 1 to so many bytes; 0: never.
    cut_bytes_max: AtomicU64,
    cuts: AtomicU64,
    accepted: AtomicU64,
    random: Mutex<fastrand::Rng>,
    links: Mutex<Vec<Weak<Link>>>,
    impairment: watch::Sender<Impairment>,
    tasks: TaskTracker,
}

impl Proxy {
    /// A proxy on a port of its own that cuts nothing yet. `seed` decides where it will cut.
    pub async fn start(upstream: Upstream, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream,
            cut_bytes_max: AtomicU64::new(0),
            cuts: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            links: Mutex::new(Vec::new()),
            impairment: watch::Sender::new(Impairment::None),
            tasks: TaskTracker::new(),
        });
        let stop = CancellationToken::new();
        let accepting = accept(listener, shared.clone(), stop.clone());
        shared
            .tasks
            .spawn(stop.clone().run_until_cancelled_owned(accepting));
        Ok(Self {
            address,
            shared,
            stop,
        })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on each new connection is cut after 1 to `bytes_max` bytes in each direction; 0: none is.
    pub fn cut_after(&self, bytes_max: u64) {
        self.shared.cut_bytes_max.store(bytes_max, Ordering::Relaxed);
    }

    /// Every connection there is now will be cut, each within its next few bytes.
    pub fn cut_soon(&self) {
        let mut random = self.shared.random.lock().unwrap();
        for link in self.links() {
            for left in &link.left {
                left.store(random.u64(0..SOON_BYTES_MAX), Ordering::Relaxed);
            }
        }
    }

    /// Cuts nothing more: connections that were to be cut live on.
    pub fn calm(&self) {
        self.cut_after(0);
        for link in self.links() {
            for left in &link.left {
                left.store(u64::MAX, Ordering::Relaxed);
            }
        }
    }

    /// The network is like this from now on.
    pub fn impair(&self, impairment: Impairment) {
        self.shared.impairment.send_replace(impairment);
        if impairment == Impairment::Reset {
            self.links().iter().for_each(|link| link.reset());
        }
    }

    /// Connections cut so far.
    pub fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::Relaxed)
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    fn links(&self) -> Vec<Arc<Link>> {
        self.shared
            .links
            .lock()
            .unwrap()
            .iter()
            .filter_map(Weak::upgrade)
            .collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    loop {
        let Ok((client, from)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let accepted = shared.accepted.fetch_add(1, Ordering::Relaxed);
        let link = shared.new_link(stop.child_token());
        let servers = shared.upstream.servers(accepted, from.ip());
        shared.tasks.spawn(serve(client, servers, link, shared.clone()));
    }
}

impl Shared {
    fn new_link(&self, closed: CancellationToken) -> Arc<Link> {
        let bytes_max = self.cut_bytes_max.load(Ordering::Relaxed);
        let mut random = self.random.lock().unwrap();
        let mut left = || match bytes_max {
            0 => AtomicU64::new(u64::MAX),
            max => AtomicU64::new(random.u64(1..=max)),
        };
        let left = [left(), left()];
        let link = Arc::new(Link {
            left,
            abrupt: AtomicBool::new(random.bool()),
            was_cut: AtomicBool::new(false),
            dead: AtomicBool::new(false),
            closed,
            impairment: self.impairment.subscribe(),
        });
        let mut links = self.links.lock().unwrap();
        links.retain(|link| link.strong_count() > 0);
        links.push(Arc::downgrade(&link));
        link
    }
}

async fn serve(client: TcpStream, servers: Vec<SocketAddr>, link: Arc<Link>, shared: Arc<Shared>) {
    let _ = client.set_nodelay(true);
    let impairment = *shared.impairment.borrow();
    if impairment == Impairment::Reset {
        return reset_when_closed(&client);
    }
    if impairment == Impairment::BlackHole {
        link.dead.store(true, Ordering::Relaxed);
    }
    if let Upstream::Unix(path) = &shared.upstream {
        if let Ok(server) = UnixStream::connect(path).await {
            link.join(client, server).await;
        }
    } else if let Some(server) = first_that_answers(&servers).await {
        let _ = server.set_nodelay(true);
        link.join(client, server).await;
    }
    if link.was_cut.load(Ordering::Relaxed) {
        shared.cuts.fetch_add(1, Ordering::Relaxed);
    }
}

async fn first_that_answers(servers: &[SocketAddr]) -> Option<TcpStream> {
    for server in servers {
        if let Ok(stream) = TcpStream::connect(server).await {
            return Some(stream);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::{Instant, timeout};

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(30);

    /// Through a proxy to a server that sends the bytes 0, 1, 2, … without end: what arrives until the cut.
    async fn received(seed: u64, cut_bytes_max: u64) -> Vec<u8> {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = Upstream::Tcp(server.local_addr().unwrap());
        let proxy = Proxy::start(upstream, seed).await.unwrap();
        proxy.cut_after(cut_bytes_max);
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        let (mut peer, _) = server.accept().await.unwrap();
        let sender = async move {
            for n in 0.. {
                if peer.write_all(&[n as u8]).await.is_err() {
                    return;
                }
            }
        };
        let mut bytes = Vec::new();
        let reader = async {
            let mut piece = [0; 100];
            while let Ok(read @ 1..) = client.read(&mut piece).await {
                bytes.extend_from_slice(&piece[..read]);
            }
        };
        timeout(DEADLINE, async { tokio::join!(sender, reader) })
            .await
            .unwrap();
        assert_eq!((proxy.cuts(), proxy.accepted()), (1, 1));
        bytes
    }

    #[tokio::test]
    async fn cuts_at_the_byte_that_the_seed_decides_and_changes_none() {
        let mut lengths = Vec::new();
        for seed in 0..6 {
            let bytes = received(seed, 1_000).await;
            assert!(bytes.len() <= 1_000);
            assert!(bytes.iter().enumerate().all(|(n, byte)| *byte == n as u8));
            lengths.push(bytes.len());
        }
        lengths.dedup();
        assert!(lengths.len() > 1, "always cut at the same byte: {lengths:?}");
    }

    #[tokio::test]
    async fn cuts_what_is_open_when_told_to_and_nothing_once_calm() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = Upstream::Tcp(server.local_addr().unwrap());
        let proxy = Proxy::start(upstream, 1).await.unwrap();
        let echo = |client: TcpStream, peer: TcpStream| async move {
            let (mut client, mut peer) = (client, peer);
            for _ in 0..20 {
                let mut piece = vec![7; 8_192];
                client.write_all(&piece).await?;
                peer.read_exact(&mut piece).await?;
                peer.write_all(&piece).await?;
                client.read_exact(&mut piece).await?;
            }
            io::Result::Ok(())
        };
        for (soon, calm, survives) in [(false, false, true), (true, false, false), (true, true, true)] {
            let client = TcpStream::connect(proxy.address()).await.unwrap();
            let (peer, _) = server.accept().await.unwrap();
            if soon {
                proxy.cut_soon();
            }
            if calm {
                proxy.calm();
            }
            let done = timeout(DEADLINE, echo(client, peer)).await.unwrap();
            assert_eq!(done.is_ok(), survives, "{soon} {calm}: {done:?}");
        }
    }

    /// A connection through the proxy, from both ends.
    async fn pair(proxy: &Proxy, server: &TcpListener) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(proxy.address()).await.unwrap();
        let (peer, _) = timeout(DEADLINE, server.accept()).await.unwrap().unwrap();
        (client, peer)
    }

    async fn passes(client: &mut TcpStream, peer: &mut TcpStream) -> io::Result<()> {
        let mut bytes = vec![7; 8_192];
        client.write_all(&bytes).await?;
        peer.read_exact(&mut bytes).await.map(drop)
    }

    #[tokio::test]
    async fn a_network_that_is_down_says_so_or_does_not() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = Upstream::Tcp(server.local_addr().unwrap());
        let proxy = Proxy::start(upstream, 1).await.unwrap();
        let (mut client, mut peer) = pair(&proxy, &server).await;
        passes(&mut client, &mut peer).await.unwrap();

        proxy.impair(Impairment::Reset);
        let mut byte = [0];
        let reset = timeout(DEADLINE, client.read(&mut byte)).await.unwrap();
        assert_eq!(reset.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(timeout(DEADLINE, refused.read(&mut byte)).await.unwrap().is_err());

        proxy.impair(Impairment::None);
        let (mut client, mut peer) = pair(&proxy, &server).await;
        let (mut silent, mut silent_peer) = pair(&proxy, &server).await;
        proxy.impair(Impairment::BlackHole);
        client.write_all(b"lost").await.unwrap();
        let (mut late, mut late_peer) = pair(&proxy, &server).await;
        late.write_all(b"lost").await.unwrap();
        let dead = || {
            proxy
                .links()
                .iter()
                .filter(|link| link.dead.load(Ordering::Relaxed))
                .count()
        };
        let both_are_dead = async {
            while dead() < 2 {
                tokio::task::yield_now().await;
            }
        };
        timeout(DEADLINE, both_are_dead).await.unwrap();
        proxy.impair(Impairment::None);
        // Of this one nothing was lost.
        timeout(DEADLINE, passes(&mut silent, &mut silent_peer))
            .await
            .unwrap()
            .unwrap();
        for (client, peer) in [(&mut client, &mut peer), (&mut late, &mut late_peer)] {
            client.write_all(b"lost too").await.unwrap();
            let nothing = timeout(Duration::from_millis(50), peer.read(&mut byte)).await;
            assert!(nothing.is_err(), "{nothing:?}");
        }
    }

    #[tokio::test]
    async fn a_slow_network_delays_and_holds_back_but_loses_nothing() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = Upstream::Tcp(server.local_addr().unwrap());
        let proxy = Proxy::start(upstream, 1).await.unwrap();
        let (mut client, mut peer) = pair(&proxy, &server).await;
        proxy.impair(Impairment::Slow {
            delay: Duration::from_millis(100),
            bytes_per_second: 100_000,
        });
        let sent: Vec<u8> = (0..20_000u32).map(|n| n as u8).collect();
        let begun = Instant::now();
        client.write_all(&sent).await.unwrap();
        drop(client);
        let mut received = Vec::new();
        timeout(DEADLINE, peer.read_to_end(&mut received))
            .await
            .unwrap()
            .unwrap();
        // 20,000 bytes take 200 ms, and each 100 ms more.
        assert!(begun.elapsed() >= Duration::from_millis(300));
        assert_eq!(received, sent);
    }

    #[test]
    fn connections_go_round_or_stay() {
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let client = |byte: u8| IpAddr::from([127, 0, 0, byte]);
        let servers = vec![at(1), at(2), at(3)];
        let round = Upstream::RoundRobin(servers.clone());
        assert_eq!(round.servers(4, client(9)), [at(2), at(3), at(1)]);
        let sticky = Upstream::ByClient(servers);
        for accepted in 0..5 {
            assert_eq!(sticky.servers(accepted, client(5)), [at(3), at(1), at(2)]);
        }
    }
}
