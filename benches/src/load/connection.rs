//! A connection of a reader: the socket, what it speaks, and what it has got.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, bail};
use mio::event::Source;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Socket, Type};

use super::payload;
use super::session::{Incoming, Protocol, Role, Session};
use super::tally::{Order, Tally};

/// Bytes that are read at once.
pub(super) const READ_BYTES: usize = 256 * 1024;
/// Bytes that wait to be sent at the most: a reader says little.
const OUTBOX_BYTES_MAX: usize = 64 * 1024;

/// What a connection is to be.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) server: SocketAddr,
    pub(super) local: IpAddr,
    pub(super) receive_bytes: Option<usize>,
    pub(super) protocol: Protocol,
    pub(super) role: Role,
    pub(super) order: Order,
}

/// An open connection.
pub(super) struct Connection {
    stream: TcpStream,
    session: Session,
    order: Order,
    /// The beginning of something that is not whole yet.
    begun: Vec<u8>,
    unsent: Vec<u8>,
    /// Where the data were in the last event.
    place: usize,
    pub(super) ready: bool,
}

impl Connection {
    /// Begins to connect.
    pub(super) fn open(plan: Plan, registry: &Registry, token: Token) -> anyhow::Result<Self> {
        let stream = connect(plan.server, plan.local, plan.receive_bytes)?;
        let mut stream = TcpStream::from_std(stream);
        stream.register(registry, token, Interest::READABLE | Interest::WRITABLE)?;
        let mut unsent = Vec::new();
        let session = Session::open(plan.protocol, plan.role, &plan.server.to_string(), &mut unsent)?;
        Ok(Self {
            stream,
            session,
            order: plan.order,
            begun: Vec::new(),
            unsent,
            place: 0,
            ready: false,
        })
    }

    /// Sends what waits, as far as the system takes it.
    pub(super) fn write(&mut self) -> anyhow::Result<()> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(0) => bail!("the connection takes nothing"),
                Ok(sent) if sent == self.unsent.len() => self.unsent = Vec::new(),
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // It is not connected yet, or full.
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        if self.unsent.len() > OUTBOX_BYTES_MAX {
            bail!("the server pings and does not read the answers");
        }
        Ok(())
    }

    /// Reads what is there, but no more than `limit` bytes, and counts the events in it. Returns their number. `until_end`
    /// says that the server has closed, so that a short read does not mean that this was all.
    pub(super) fn read(
        &mut self,
        buffer: &mut Vec<u8>,
        limit: usize,
        until_end: bool,
        now_us: impl Fn() -> u64,
        tally: &mut Tally,
    ) -> anyhow::Result<u64> {
        let (mut events, mut left) = (0, limit);
        while left > 0 {
            let begun = self.begun.len();
            if buffer.len() < begun + READ_BYTES {
                buffer.resize(begun + READ_BYTES, 0);
            }
            buffer[..begun].copy_from_slice(&self.begun);
            let wanted = READ_BYTES.min(left);
            let came = match self.stream.read(&mut buffer[begun..begun + wanted]) {
                Ok(0) => bail!("the server has closed the connection"),
                Ok(came) => came,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::NotConnected => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            left -= came;
            events += self.understand(&buffer[..begun + came], now_us(), tally)?;
            if came < wanted && !until_end {
                break;
            }
        }
        Ok(events)
    }

    fn understand(&mut self, bytes: &[u8], now_us: u64, tally: &mut Tally) -> anyhow::Result<u64> {
        let (mut events, mut unsent) = (0, std::mem::take(&mut self.unsent));
        let waiting = unsent.len();
        let (order, place, ready) = (&mut self.order, &mut self.place, &mut self.ready);
        let done = self.session.feed(bytes, &mut unsent, |incoming| match incoming {
            Incoming::Event(message) => {
                // Something else may be an event too, such as that the subscription has caught up.
                if let Some(stamp) = payload::read(message, place) {
                    events += 1;
                    tally.count(stamp, now_us, order);
                }
            }
            Incoming::Ready => *ready = true,
            Incoming::Acknowledged { .. } => {}
        })?;
        self.begun.clear();
        self.begun.extend_from_slice(&bytes[done..]);
        self.unsent = unsent;
        if self.unsent.len() > waiting {
            self.write()?;
        }
        Ok(events)
    }

    /// How many of the events below `end` it has not seen.
    pub(super) fn outstanding(&self, end: u64) -> u64 {
        self.order.outstanding(end)
    }

    /// Ends it.
    pub(super) fn close(mut self, registry: &Registry) {
        // It is closed in any case.
        let _ = self.stream.deregister(registry);
    }
}

/// Begins to connect from an address of one's own, without waiting.
pub(super) fn connect(
    server: SocketAddr,
    local: IpAddr,
    receive_bytes: Option<usize>,
) -> anyhow::Result<std::net::TcpStream> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if let Some(bytes) = receive_bytes {
        socket.set_recv_buffer_size(bytes)?;
    }
    if server.ip().is_loopback() {
        let address = SocketAddr::new(local, 0);
        socket
            .bind(&address.into())
            .with_context(|| format!("a port on {local}"))?;
    }
    match socket.connect(&server.into()) {
        Ok(()) => {}
        Err(error) if is_under_way(&error) => {}
        Err(error) => return Err(error).with_context(|| format!("connecting to {server}")),
    }
    Ok(socket.into())
}

fn is_under_way(error: &io::Error) -> bool {
    // EINPROGRESS has no name of its own in the standard library yet.
    const EINPROGRESS: i32 = 115;
    error.kind() == ErrorKind::WouldBlock || error.raw_os_error() == Some(EINPROGRESS)
}
