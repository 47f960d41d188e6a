//! A load balancer that knows nothing: each connection goes to the next edge that takes it. It can cut what is open.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

pub struct RoundRobin {
    pub address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    cut: watch::Sender<()>,
    _task: AbortOnDropHandle<()>,
}

impl RoundRobin {
    pub async fn start(edges: Vec<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let (cut, cuts) = watch::channel(());
        let count = Arc::clone(&accepted);
        let task = async move {
            loop {
                let Ok((client, _)) = listener.accept().await else {
                    continue;
                };
                let first = count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(lead(client, edges.clone(), first, cuts.clone()));
            }
        };
        Self {
            address,
            accepted,
            cut,
            _task: AbortOnDropHandle::new(tokio::spawn(task)),
        }
    }

    /// Cuts every connection there is.
    pub fn cut(&self) {
        self.cut.send_replace(());
    }

    /// How many connections there have been.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn lead(mut client: TcpStream, edges: Vec<SocketAddr>, first: usize, mut cuts: watch::Receiver<()>) {
    cuts.mark_unchanged();
    client.set_nodelay(true).unwrap();
    for turn in 0..edges.len() {
        let Ok(mut edge) = TcpStream::connect(edges[(first + turn) % edges.len()]).await else {
            continue;
        };
        edge.set_nodelay(true).unwrap();
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut client, &mut edge) => {}
            _ = cuts.changed() => {}
        }
        return;
    }
}
