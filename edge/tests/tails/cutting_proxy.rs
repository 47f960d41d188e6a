//! A way to the edges that cuts every connection after some bytes, wherever that is in a frame, and leads the next
//! one to another edge: a bad network and a load balancer without sticky sessions.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

pub struct CuttingProxy {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    _task: AbortOnDropHandle<()>,
}

impl CuttingProxy {
    /// Leads to each of the edges in turn; the connection with this number (from 0) is cut after `bytes(number)` of
    /// the answer, its head included.
    pub async fn start(
        edges: Vec<SocketAddr>,
        bytes: impl Fn(usize) -> usize + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        let task = async move {
            while let Ok((client, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::Relaxed);
                let edge = TcpStream::connect(edges[number % edges.len()]).await.unwrap();
                lead(client, edge, bytes(number)).await;
            }
        };
        Self {
            address,
            connections,
            _task: AbortOnDropHandle::new(tokio::spawn(task)),
        }
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// One connection at a time is enough: the client comes back only after a cut.
async fn lead(client: TcpStream, edge: TcpStream, mut left: usize) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_edge, mut to_edge) = edge.into_split();
    let requests = tokio::io::copy(&mut from_client, &mut to_edge);
    let answers = async {
        let mut buffer = vec![0; 16 * 1024];
        while left > 0 {
            let room = left.min(buffer.len());
            match from_edge.read(&mut buffer[..room]).await {
                Ok(0) | Err(_) => return,
                Ok(len) => {
                    left -= len;
                    if to_client.write_all(&buffer[..len]).await.is_err() {
                        return;
                    }
                }
            }
        }
    };
    tokio::select! {
        _ = requests => {}
        () = answers => {}
    }
}
