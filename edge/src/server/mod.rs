//! The server: accepts connections, speaks HTTP/1.1 on them, and ends in good order.
//!
//! A permit is taken before `accept`, so connections beyond the limit wait in the kernel's queue and cost nothing
//! here. When it is told to stop it stops accepting, tells subscribers to come back elsewhere, lets what is under
//! way finish, and cuts what is left at the deadline.

mod connection;
mod socket;

use std::io;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

pub use connection::Peer;
pub use socket::into_tcp;

use crate::app::{self, AppState};
use connection::Connection;
use shared::limits::ACCEPT_PAUSE;

/// Serves connections of `listener` until `shutdown` is cancelled and what was under way has ended.
pub async fn run(listener: TcpListener, state: AppState, shutdown: CancellationToken) -> io::Result<()> {
    let router = app::router(state.clone());
    let permits = Arc::new(Semaphore::new(state.config.limits.connections_max));
    let cut = CancellationToken::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &permits) => accepted,
        };
        match accepted {
            Ok((stream, address, permit)) => match Connection::new(stream, address, permit, &state) {
                Ok(connection) => {
                    let serving = connection.serve(router.clone(), state.clone(), cut.clone());
                    state.tasks.spawn(serving);
                }
                // It was gone before it was served.
                Err(error) => debug!(%error, %address, "cannot set up a connection"),
            },
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    drain(&state, &cut).await;
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(
    tokio::net::TcpStream,
    std::net::SocketAddr,
    tokio::sync::OwnedSemaphorePermit,
)> {
    let permit = Arc::clone(permits)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, address) = listener.accept().await?;
    Ok((stream, address, permit))
}

/// Asks everybody to come to an end, waits for them, and cuts off who has not ended at the deadline.
async fn drain(state: &AppState, cut: &CancellationToken) {
    let deadline = state.config.drain.deadline;
    state.drain.cancel();
    state.tasks.close();
    info!(deadline_s = deadline.as_secs_f64(), "draining");
    if tokio::time::timeout(deadline, state.tasks.wait()).await.is_err() {
        warn!(
            left = state.tasks.len(),
            "the deadline of the shutdown has passed, cutting off what is left"
        );
        cut.cancel();
    }
}
