//! The socket under a connection for reads: TCP, TLS over TCP, or a Unix socket, with the settings that all connections
//! to Redis have.

use std::io;
use std::sync::Arc;

use redis::ConnectionAddr;
use redis::io::tcp::socket2::SockRef;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use shared::limits::REDIS_UNACKNOWLEDGED_MAX;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::super::connect::keepalive;

/// Bytes both ways.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Socket for S {}

/// Where a server is, and how it is talked to.
#[derive(Clone)]
pub(super) struct Address {
    address: ConnectionAddr,
    tls: Option<TlsConnector>,
}

impl Address {
    /// Reads the certificates that this machine trusts if the address asks for TLS; else it does nothing.
    pub(super) fn new(address: ConnectionAddr) -> io::Result<Self> {
        let tls = match address {
            ConnectionAddr::TcpTls { .. } => Some(TlsConnector::from(Arc::new(trusting_this_machine()?))),
            _ => None,
        };
        Ok(Self { address, tls })
    }

    /// Opens a socket. The caller sees to it that this does not take too long.
    pub(super) async fn open(&self) -> io::Result<Box<dyn Socket>> {
        match (&self.address, &self.tls) {
            (ConnectionAddr::Tcp(host, port), _) => Ok(Box::new(tcp(host, *port).await?)),
            (ConnectionAddr::TcpTls { host, port, .. }, Some(tls)) => {
                let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
                let tls = tls.connect(name, tcp(host, *port).await?).await?;
                Ok(Box::new(tls))
            }
            (ConnectionAddr::Unix(path), _) => Ok(Box::new(UnixStream::connect(path).await?)),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    let socket = SockRef::from(&stream);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&keepalive())?;
    socket.set_tcp_user_timeout(Some(REDIS_UNACKNOWLEDGED_MAX))?;
    Ok(stream)
}

fn trusting_this_machine() -> io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    if usable == 0 {
        let why = found.errors.into_iter().next();
        let why = why.map_or_else(|| "there are none".to_owned(), |error| error.to_string());
        return Err(io::Error::other(format!("no certificates to trust: {why}")));
    }
    let config = ClientConfig::builder().with_root_certificates(roots);
    Ok(config.with_no_client_auth())
}
