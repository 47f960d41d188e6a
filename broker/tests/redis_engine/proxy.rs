//! A socket between the engine and the server that loses what it is told to lose.

use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What happens to bytes on their way. What is swallowed is gone, even if the mode changes afterwards, and so is what follows on that
/// connection: a socket loses its end, never a piece out of its middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Pass,
    /// Requests arrive, replies do not.
    SwallowReplies,
    /// Requests do not arrive.
    SwallowRequests,
    /// Connections are closed as soon as they are opened.
    Refuse,
}

pub(crate) struct Proxy {
    folder: TempDir,
    mode: watch::Sender<Mode>,
    /// Cancelled to cut all connections; replaced for those that come later.
    connections: Arc<watch::Sender<CancellationToken>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Proxy {
    /// A proxy in front of the server at `target`.
    pub(crate) fn start(target: PathBuf) -> Self {
        let folder = TempDir::with_prefix("weir-proxy-").unwrap();
        let listener = UnixListener::bind(folder.path().join("sock")).unwrap();
        let proxy = Self {
            folder,
            mode: watch::channel(Mode::Pass).0,
            connections: Arc::new(watch::channel(CancellationToken::new()).0),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let (mode, connections) = (proxy.mode.subscribe(), proxy.connections.subscribe());
        let (stop, tasks) = (proxy.stop.clone(), proxy.tasks.clone());
        proxy.tasks.spawn(async move {
            while let Some(Ok((client, _))) = stop.run_until_cancelled(listener.accept()).await {
                let cut = connections.borrow().clone();
                let (mode, target, stop) = (mode.clone(), target.clone(), stop.clone());
                tasks.spawn(async move {
                    let carried = carry(client, target, mode);
                    let _ = stop.run_until_cancelled(cut.run_until_cancelled(carried)).await;
                });
            }
        });
        proxy
    }

    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.folder.path().join("sock").display())
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Cuts every connection.
    pub(crate) fn cut(&self) {
        self.connections.send_replace(CancellationToken::new()).cancel();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn carry(client: UnixStream, target: PathBuf, mode: watch::Receiver<Mode>) {
    if *mode.borrow() == Mode::Refuse {
        return;
    }
    let Ok(server) = UnixStream::connect(target).await else {
        return;
    };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = pump(from_client, to_server, mode.clone(), Mode::SwallowRequests) => {}
        () = pump(from_server, to_client, mode, Mode::SwallowReplies) => {}
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mode: watch::Receiver<Mode>,
    swallows: Mode,
) {
    let mut buffer = vec![0; 64 * 1024];
    let mut lost = false;
    loop {
        match from.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) if lost || *mode.borrow() == swallows => lost = true,
            Ok(read) => {
                if to.write_all(&buffer[..read]).await.is_err() {
                    return;
                }
            }
        }
    }
}
