//! Rate limits: how much one client address may ask for in a second.
//!
//! They keep one client from starving the others; they are no defence against many. A client is an IP address, in
//! IPv6 a network of 64 bits, because that is what one client is given.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use axum::http::HeaderMap;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::config::RateSettings;
use crate::error::{ApiError, Code};
use crate::metrics;

/// Who is asking; an extension of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Client(IpAddr);

impl Client {
    /// The client behind an address.
    pub fn new(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
            v4 => v4,
        })
    }

    /// The client that sent a request: the peer, or whom it says it speaks for if it is a trusted proxy.
    ///
    /// `X-Forwarded-For` is read from its end, the entry that the trusted proxy itself has added.
    pub fn of(peer: IpAddr, headers: &HeaderMap, trusted_proxies: &[IpAddr]) -> Self {
        let peer = peer.to_canonical();
        if !trusted_proxies.contains(&peer) {
            return Self::new(peer);
        }
        let forwarded = headers
            .get_all("x-forwarded-for")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|text| text.trim().parse::<IpAddr>().ok())
            .rfind(|address| !trusted_proxies.contains(&address.to_canonical()));
        Self::new(forwarded.unwrap_or(peer))
    }
}

/// The limits of one edge, with what each client has used.
pub struct RateLimits {
    clock: DefaultClock,
    requests: Option<DefaultKeyedRateLimiter<Client>>,
    publishes: Option<DefaultKeyedRateLimiter<Client>>,
}

impl RateLimits {
    /// Limits as they are set; nothing is used yet.
    pub fn new(settings: &RateSettings) -> Self {
        Self {
            clock: DefaultClock::default(),
            requests: limiter(settings.requests_per_second, settings.requests_burst),
            publishes: limiter(settings.publishes_per_second, settings.publishes_burst),
        }
    }

    /// Counts a request, or refuses it.
    pub fn request(&self, client: Client) -> Result<(), ApiError> {
        self.take(self.requests.as_ref(), client)
            .map_err(|pause| refused("requests", pause))
    }

    /// Counts a publish, or refuses it.
    pub fn publish(&self, client: Client) -> Result<(), ApiError> {
        self.take(self.publishes.as_ref(), client)
            .map_err(|pause| refused("publishes", pause))
    }

    /// Counts a publish, or says how long to wait before it may be tried again: for transports that slow a client
    /// down instead of refusing.
    pub fn publish_or_wait(&self, client: Client) -> Result<(), Duration> {
        self.take(self.publishes.as_ref(), client)
    }

    /// Whether publishes are limited at all.
    pub fn limits_publishes(&self) -> bool {
        self.publishes.is_some()
    }

    /// Forgets clients that have not asked for a while, so that memory is bounded by those who do.
    pub fn forget_idle(&self) {
        for limiter in [&self.requests, &self.publishes].into_iter().flatten() {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }

    fn take(
        &self,
        limiter: Option<&DefaultKeyedRateLimiter<Client>>,
        client: Client,
    ) -> Result<(), Duration> {
        let Some(limiter) = limiter else { return Ok(()) };
        limiter
            .check_key(&client)
            .map_err(|until| until.wait_time_from(self.clock.now()))
    }
}

/// `None` (no limit) for zero a second.
fn limiter(per_second: u32, burst: u32) -> Option<DefaultKeyedRateLimiter<Client>> {
    let per_second = NonZeroU32::new(per_second)?;
    let burst = NonZeroU32::new(burst).unwrap_or(per_second);
    Some(RateLimiter::keyed(
        Quota::per_second(per_second).allow_burst(burst),
    ))
}

fn refused(kind: &'static str, pause: Duration) -> ApiError {
    metrics::rate_limited(kind);
    let message = format!("too many {kind} from this address; slow down");
    ApiError::new(Code::RateLimited, message).retry_after(pause)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap_or_else(|_| panic!("{text}"))
    }

    #[test]
    fn only_a_trusted_proxy_speaks_for_others() {
        let mut headers = HeaderMap::new();
        headers.append(
            "x-forwarded-for",
            axum::http::HeaderValue::from_static("9.9.9.9, 1.2.3.4, 10.0.0.2"),
        );
        let proxies = [address("10.0.0.1"), address("10.0.0.2")];
        let of = |peer: &str, proxies: &[IpAddr]| Client::of(address(peer), &headers, proxies);
        assert_eq!(of("10.0.0.1", &[]), Client::new(address("10.0.0.1")));
        // 9.9.9.9 is what the client claimed; the last one that is no proxy is what a proxy saw.
        assert_eq!(of("10.0.0.1", &proxies), Client::new(address("1.2.3.4")));
        assert_eq!(of("::ffff:10.0.0.1", &proxies), Client::new(address("1.2.3.4")));
        assert_eq!(of("8.8.8.8", &proxies), Client::new(address("8.8.8.8")));
    }

    #[test]
    fn a_network_of_64_bits_is_one_client() {
        assert_eq!(
            Client::new(address("2001:db8::1")),
            Client::new(address("2001:db8::ffff:1"))
        );
        assert_ne!(
            Client::new(address("2001:db8::1")),
            Client::new(address("2001:db8:0:1::1"))
        );
    }

    #[test]
    fn each_client_has_its_own_burst() {
        let limits = RateLimits::new(&RateSettings {
            requests_per_second: 1,
            requests_burst: 3,
            publishes_per_second: 0,
            publishes_burst: 0,
            trusted_proxies: Vec::new(),
        });
        let (one, other) = (Client::new(address("1.1.1.1")), Client::new(address("2.2.2.2")));
        for _ in 0..3 {
            assert!(limits.request(one).is_ok());
        }
        assert_eq!(
            limits.request(one).err().map(|e| e.code()),
            Some(Code::RateLimited)
        );
        assert!(limits.request(other).is_ok());
        assert!((0..1000).all(|_| limits.publish(one).is_ok()));
    }
}
