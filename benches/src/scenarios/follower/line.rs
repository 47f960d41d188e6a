//! The connection of a follower.

use std::net::SocketAddr;

use anyhow::ensure;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Follower, Tally};

/// Bytes that are read together, and of a message at the most.
const READ_BYTES: usize = 32 * 1024;

/// A client with its connection.
pub(in crate::scenarios) struct Line<'a, T> {
    pub(in crate::scenarios) client: &'a mut Follower<T>,
    socket: TcpStream,
    bytes: Vec<u8>,
    held: usize,
    out: Vec<u8>,
}

impl<'a, T: Tally> Line<'a, T> {
    /// Connects.
    pub(in crate::scenarios) async fn open(
        client: &'a mut Follower<T>,
        address: SocketAddr,
    ) -> anyhow::Result<Self> {
        let mut out = Vec::new();
        client.open(&address.to_string(), &mut out);
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        Ok(Self {
            client,
            socket,
            bytes: vec![0; READ_BYTES],
            held: 0,
            out,
        })
    }

    /// Says what is to be said, and takes what comes next. Giving it up loses nothing but what is half said.
    pub(in crate::scenarios) async fn step(&mut self) -> anyhow::Result<()> {
        if !self.out.is_empty() {
            self.socket.write_all(&self.out).await?;
            self.out.clear();
        }
        let came = self.socket.read(&mut self.bytes[self.held..]).await?;
        self.take(came)
    }

    fn take(&mut self, came: usize) -> anyhow::Result<()> {
        ensure!(came > 0, "the server has closed a connection");
        self.held += came;
        let taken = self.client.feed(&self.bytes[..self.held], &mut self.out)?;
        self.bytes.copy_within(taken..self.held, 0);
        self.held -= taken;
        ensure!(self.held < self.bytes.len(), "a message that is too long");
        Ok(())
    }

    /// Takes what is there already.
    pub(in crate::scenarios) async fn drain(&mut self) -> anyhow::Result<()> {
        while let Ok(came) = self.socket.try_read(&mut self.bytes[self.held..]) {
            self.take(came)?;
        }
        Ok(())
    }
}
