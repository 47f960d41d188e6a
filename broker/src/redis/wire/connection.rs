//! A connection with one request at a time, and no pushes: nothing is subscribed to here.

use redis::{Cmd, Pipeline, RedisConnectionInfo, Value};
use shared::limits::{REDIS_READ_BYTES, REDIS_READ_BYTES_KEPT_MAX};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::connect::{Connector, Socket};
use super::super::fault::Fault;
use super::super::parse;
use super::reply::{self, Scan};

/// An open connection.
pub(in crate::redis) struct Connection {
    socket: Socket,
    /// What came in since the last request.
    received: Vec<u8>,
    /// Whether an answer may be under way that nobody waits for any more.
    spoiled: bool,
}

impl Connection {
    /// Opens a connection and introduces itself. The caller sees to it that this does not take too long.
    pub(in crate::redis) async fn open(connector: &Connector) -> Result<Self, Fault> {
        let settings = connector.settings();
        let lost = |_| Fault::Lost("no connection to Redis");
        let mut connection = Self {
            socket: connector.socket().await.map_err(lost)?,
            received: Vec::new(),
            spoiled: false,
        };
        let greeting = greeting(settings);
        let replies = connection
            .exchange(&greeting.get_packed_pipeline(), greeting.len())
            .await?;
        let mut replies = reply::values(replies)?.into_iter();
        let hello = parse::ok(replies.next().ok_or(Fault::Malformed)?)?;
        connector.check_role(&hello).map_err(lost)?;
        if settings.db() != 0 {
            parse::ok(replies.next().ok_or(Fault::Malformed)?)?;
        }
        // Older servers do not know how to be told who asks, which does not matter.
        Ok(connection)
    }

    /// Whether it can be used for another request.
    pub(in crate::redis) fn is_clean(&self) -> bool {
        !self.spoiled
    }

    /// Sends commands and brings their replies, `count` of them. If this future is dropped before it is done, the
    /// connection is of no use any more, and says so.
    pub(in crate::redis) async fn exchange(&mut self, commands: &[u8], count: usize) -> Result<&[u8], Fault> {
        if std::mem::replace(&mut self.spoiled, true) {
            return Err(Fault::CONNECTION_LOST);
        }
        if self.received.capacity() > REDIS_READ_BYTES_KEPT_MAX {
            self.received = Vec::new();
        }
        self.received.clear();
        let lost = |_| Fault::CONNECTION_LOST;
        self.socket.write_all(commands).await.map_err(lost)?;
        self.socket.flush().await.map_err(lost)?;
        let mut scan = Scan::new(count);
        loop {
            self.received.reserve(REDIS_READ_BYTES);
            if self.socket.read_buf(&mut self.received).await.map_err(lost)? == 0 {
                return Err(Fault::CONNECTION_LOST);
            }
            match scan.advance(&self.received)? {
                Some(end) if end == self.received.len() => break,
                Some(_) => return Err(Fault::Malformed),
                None => {}
            }
        }
        self.spoiled = false;
        Ok(&self.received)
    }

    /// The socket, for another use. Nothing is under way on it.
    pub(super) fn into_socket(self) -> Socket {
        self.socket
    }

    /// Sends one command and brings its reply.
    pub(in crate::redis) async fn run(&mut self, command: &Cmd) -> Result<Value, Fault> {
        let reply = self.exchange(&command.get_packed_command(), 1).await?;
        reply::values(reply)?.pop().ok_or(Fault::Malformed)
    }
}

/// What a connection begins with.
fn greeting(settings: &RedisConnectionInfo) -> Pipeline {
    let mut greeting = redis::pipe();
    let hello = greeting.cmd("HELLO").arg(3);
    if let Some(password) = settings.password() {
        hello
            .arg("AUTH")
            .arg(settings.username().unwrap_or("default"))
            .arg(password);
    }
    if settings.db() != 0 {
        greeting.cmd("SELECT").arg(settings.db());
    }
    for (what, value) in [("LIB-NAME", settings.lib_name()), ("LIB-VER", settings.lib_ver())] {
        if let Some(value) = value {
            greeting.cmd("CLIENT").arg("SETINFO").arg(what).arg(value);
        }
    }
    greeting
}
