//! One connection through the proxy: passes bytes both ways until either end closes, a budget of bytes is used up, or
//! the network is impaired.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// Bytes that are passed on at once.
const PIECE_BYTES: usize = 16 * 1024;
/// Pieces that are under way in one direction over a slow network; beyond that the sender has to wait.
const PIECES_UNDER_WAY_MAX: usize = 64;

/// What is wrong with the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Impairment {
    /// Nothing.
    None,
    /// Every connection is reset, also each new one.
    Reset,
    /// Bytes vanish without a word. A connection of which some have vanished is dead for good, and nobody is told.
    BlackHole,
    /// Each byte comes late, and so many in a second and direction at the most.
    Slow {
        /// How late.
        delay: Duration,
        /// How many.
        bytes_per_second: u32,
    },
}

/// A connection.
pub(super) struct Link {
    /// Bytes that may still pass, from the client and to the client.
    pub(super) left: [AtomicU64; 2],
    /// Whether a cut resets the connection, or ends it as if all had been sent.
    pub(super) abrupt: AtomicBool,
    pub(super) was_cut: AtomicBool,
    /// Set once bytes have vanished.
    pub(super) dead: AtomicBool,
    pub(super) closed: CancellationToken,
    pub(super) impairment: watch::Receiver<Impairment>,
}

impl Link {
    /// Ends it with a reset.
    pub(super) fn reset(&self) {
        self.abrupt.store(true, Ordering::Relaxed);
        self.was_cut.store(true, Ordering::Relaxed);
        self.closed.cancel();
    }

    /// Passes bytes both ways until either end closes or the link is cut. Both sockets close with it.
    pub(super) async fn join<S: AsyncRead + AsyncWrite>(&self, client: TcpStream, server: S) {
        let (mut client_read, mut client_write) = client.into_split();
        let (mut server_read, mut server_write) = tokio::io::split(server);
        tokio::select! {
            () = self.pump(&mut client_read, &mut server_write, 0) => {}
            () = self.pump(&mut server_read, &mut client_write, 1) => {}
            () = self.closed.cancelled() => {}
        }
        if self.abrupt.load(Ordering::Relaxed) && self.was_cut.load(Ordering::Relaxed) {
            reset_when_closed(client_read.as_ref());
            // Dropping it would end the connection in good order first.
            client_write.forget();
        }
    }

    /// Passes bytes one way. `direction`: 0 from the client, 1 to it.
    async fn pump(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        direction: usize,
    ) {
        let mut piece = vec![0; PIECE_BYTES];
        // What has left and not come yet, each with when it comes.
        let mut under_way: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
        let mut road_free_at = Instant::now();
        loop {
            let next_at = under_way.front().map(|(at, _)| *at);
            tokio::select! {
                biased;
                () = sleep_until(next_at.unwrap_or(road_free_at)), if next_at.is_some() => {
                    let Some((_, bytes)) = under_way.pop_front() else { return };
                    if !self.deliver(&mut to, &bytes, direction).await {
                        return;
                    }
                }
                read = from.read(&mut piece), if under_way.len() < PIECES_UNDER_WAY_MAX => {
                    let Ok(read @ 1..) = read else {
                        for (at, bytes) in under_way {
                            sleep_until(at).await;
                            if !self.deliver(&mut to, &bytes, direction).await {
                                return;
                            }
                        }
                        return;
                    };
                    let now = Instant::now();
                    let at = match *self.impairment.borrow() {
                        Impairment::Slow { delay, bytes_per_second } => {
                            let takes = Duration::from_secs_f64(read as f64 / f64::from(bytes_per_second));
                            road_free_at = road_free_at.max(now) + takes;
                            road_free_at + delay
                        }
                        _ => now,
                    };
                    // Never before what left earlier.
                    let at = under_way.back().map_or(at, |(last, _)| at.max(*last));
                    if at > now {
                        under_way.push_back((at, piece[..read].to_vec()));
                    } else if !self.deliver(&mut to, &piece[..read], direction).await {
                        return;
                    }
                }
            }
        }
    }

    /// Hands bytes on, as far as they may pass; `false` if the connection ends with that.
    async fn deliver(&self, to: &mut (impl AsyncWrite + Unpin), bytes: &[u8], direction: usize) -> bool {
        let black_hole = *self.impairment.borrow() == Impairment::BlackHole;
        if black_hole || self.dead.load(Ordering::Relaxed) {
            self.dead.store(true, Ordering::Relaxed);
            return true;
        }
        let left = &self.left[direction];
        let allowed = left.load(Ordering::Relaxed);
        let passed = usize::try_from(allowed).unwrap_or(usize::MAX).min(bytes.len());
        if to.write_all(&bytes[..passed]).await.is_err() {
            return false;
        }
        if passed < bytes.len() {
            self.was_cut.store(true, Ordering::Relaxed);
            return false;
        }
        if allowed != u64::MAX {
            // Another budget may have been set meanwhile; that one counts.
            let rest = allowed - passed as u64;
            let _ = left.compare_exchange(allowed, rest, Ordering::Relaxed, Ordering::Relaxed);
        }
        true
    }
}

/// Without lingering, closing sends a reset.
pub(super) fn reset_when_closed(socket: &TcpStream) {
    // Fails only if the other side has closed already.
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}
