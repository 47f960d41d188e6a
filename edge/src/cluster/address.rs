//! Where others reach this edge, when the operator has not said it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::UdpSocket;
use tracing::warn;

/// The address to announce for an edge that listens on `listening`. If that is every interface, it is the one that
/// leads to `log`, host and port of what the edges share.
pub(super) async fn announced(listening: SocketAddr, log: Option<&str>) -> SocketAddr {
    if !listening.ip().is_unspecified() {
        return listening;
    }
    let loopback = match listening {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    let Some(log) = log else {
        // Who shares the log is on this machine.
        return SocketAddr::new(loopback, listening.port());
    };
    match leading_to(log).await {
        Ok(ip) => SocketAddr::new(ip, listening.port()),
        Err(error) => {
            warn!(%error, "cannot tell which address leads to Redis; set cluster.advertise");
            SocketAddr::new(loopback, listening.port())
        }
    }
}

/// The address of this machine from which packets to `target` leave. Nothing is sent.
async fn leading_to(target: &str) -> std::io::Result<IpAddr> {
    let mut last_error = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
    for target in tokio::net::lookup_host(target).await? {
        let any: SocketAddr = match target {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any).await?;
        match socket.connect(target).await {
            Ok(()) => return Ok(socket.local_addr()?.ip()),
            Err(error) => last_error = error,
        }
    }
    Err(last_error)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn a_listening_address_is_announced_if_others_can_use_it() {
        let any: SocketAddr = "0.0.0.0:7400".parse().unwrap();
        let one: SocketAddr = "192.0.2.1:7400".parse().unwrap();
        let here: SocketAddr = "127.0.0.1:7400".parse().unwrap();
        assert_eq!(announced(one, None).await, one);
        assert_eq!(announced(any, None).await, here);
        assert_eq!(announced(any, Some("127.0.0.1:6379")).await, here);
        assert_eq!(
            announced("[::]:7400".parse().unwrap(), None).await,
            "[::1]:7400".parse().unwrap()
        );
    }
}
