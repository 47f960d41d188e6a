//! Who is connected and who follows what; writing to all of them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{interval, timeout};

use crate::frame;

/// How long a socket may take nothing until it is closed.
const STALLED: Duration = Duration::from_secs(5);
/// Sockets are pinged in so many turns, so that no event waits until all of them have been.
const TURNS: usize = 100;

/// A connection that is written to from wherever an event comes in.
pub(crate) struct Socket {
    pub(crate) stream: TcpStream,
    /// Somebody has written a part of something.
    busy: Cell<bool>,
    free: Notify,
    turn: usize,
}

/// What has been written.
enum Written {
    All,
    /// So many bytes.
    Part(usize),
}

#[derive(Default)]
pub(crate) struct Streams {
    followers: RefCell<HashMap<String, Vec<Rc<Socket>>>>,
    /// By the turn in which they are pinged.
    sockets: RefCell<Vec<Vec<Rc<Socket>>>>,
}

impl Streams {
    pub(crate) fn admit(&self, stream: TcpStream) -> Rc<Socket> {
        let turn = fastrand::usize(..TURNS);
        let socket = Rc::new(Socket {
            stream,
            busy: Cell::new(false),
            free: Notify::new(),
            turn,
        });
        let mut sockets = self.sockets.borrow_mut();
        sockets.resize_with(TURNS, Vec::new);
        sockets[turn].push(socket.clone());
        socket
    }

    pub(crate) fn subscribe(&self, socket: &Rc<Socket>, stream: String) {
        let mut followers = self.followers.borrow_mut();
        let followers = followers.entry(stream).or_default();
        if !followers.iter().any(|follower| Rc::ptr_eq(follower, socket)) {
            followers.push(socket.clone());
        }
    }

    /// The socket is closed.
    pub(crate) fn forget(&self, socket: &Rc<Socket>, streams: &[String]) {
        let forget = |sockets: &mut Vec<Rc<Socket>>| {
            if let Some(place) = sockets.iter().position(|other| Rc::ptr_eq(other, socket)) {
                sockets.swap_remove(place);
            }
        };
        let mut followers = self.followers.borrow_mut();
        for stream in streams {
            followers.get_mut(stream).map(forget);
        }
        self.sockets.borrow_mut().get_mut(socket.turn).map(forget);
    }

    /// Writes these bytes to everybody who follows the stream. Returns when all have been handed to the system.
    pub(crate) async fn deliver(&self, stream: &str, bytes: &[u8]) {
        let mut behind = Vec::new();
        if let Some(followers) = self.followers.borrow().get(stream) {
            for socket in followers {
                if let Ok(Written::Part(written)) = socket.write_now(bytes) {
                    behind.push((socket.clone(), written));
                }
            }
        }
        for (socket, written) in behind {
            socket.write_rest(bytes, written).await;
        }
    }

    /// Pings every socket once in `every`.
    pub(crate) async fn ping(self: Rc<Self>, every: Duration) {
        let mut ping = Vec::new();
        frame::write(&mut ping, frame::TEXT, b"2");
        let mut ticks = interval((every / TURNS as u32).max(Duration::from_millis(1)));
        for turn in (0..TURNS).cycle() {
            ticks.tick().await;
            let sockets = self.sockets.borrow().get(turn).cloned().unwrap_or_default();
            for socket in sockets {
                if let Ok(Written::Part(written)) = socket.write_now(&ping) {
                    let ping = ping.clone();
                    tokio::task::spawn_local(async move { socket.write_rest(&ping, written).await });
                }
            }
        }
    }
}

impl Socket {
    /// Writes all of it, in one piece.
    pub(crate) async fn write(&self, bytes: &[u8]) {
        if let Ok(Written::Part(written)) = self.write_now(bytes) {
            self.write_rest(bytes, written).await;
        }
    }

    /// Writes what the system takes now. After a part [`Socket::write_rest`] has to follow. An error means that the
    /// connection has ended; who reads it notices.
    fn write_now(&self, bytes: &[u8]) -> io::Result<Written> {
        if self.busy.get() {
            return Ok(Written::Part(0));
        }
        match self.stream.try_write(bytes) {
            Ok(written) if written == bytes.len() => Ok(Written::All),
            Ok(written) => {
                self.busy.set(written > 0);
                Ok(Written::Part(written))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Written::Part(0)),
            Err(error) => Err(error),
        }
    }

    /// Writes what is left behind `written` bytes, as soon as the system takes it. Closes the connection if that takes too long.
    async fn write_rest(&self, bytes: &[u8], written: usize) {
        // If a part is written, it is this caller whom the others wait for.
        while written == 0 && self.busy.get() {
            self.free.notified().await;
        }
        self.busy.set(true);
        if !matches!(
            timeout(STALLED, self.write_whole(&bytes[written..])).await,
            Ok(Ok(()))
        ) {
            // Fails if it is closed already.
            let _ = SockRef::from(&self.stream).shutdown(Shutdown::Both);
        }
        self.busy.set(false);
        self.free.notify_waiters();
    }

    async fn write_whole(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.stream.writable().await?;
            match self.stream.try_write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
