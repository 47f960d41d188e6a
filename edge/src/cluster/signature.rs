//! The header by which an edge knows that a request comes from another edge of its cluster: a time, and an HMAC-SHA256
//! over it, the method, and path and query. Pure: the time is passed in.

use std::sync::{PoisonError, RwLock};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use ring::hmac;
use shared::limits::CLUSTER_CLOCK_SKEW_MAX;

use crate::engineio::Brought;

/// `MILLISECONDS.BASE64URL`
pub(super) const HEADER: HeaderName = HeaderName::from_static("weir-forwarded");

/// The secret of the cluster, as soon as it is known.
#[derive(Default)]
pub(super) struct Keyring(RwLock<Option<hmac::Key>>);

impl Keyring {
    /// Uses this secret from now on.
    pub(super) fn set(&self, secret: &[u8]) {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(key);
    }

    /// The value of the header for a request that is sent at `now_ms`.
    pub(super) fn sign(&self, method: &Method, uri: &Uri, now_ms: u64) -> Option<HeaderValue> {
        let tag = hmac::sign(&self.key()?, &signed(now_ms, method, uri));
        let value = format!("{now_ms}.{}", BASE64URL.encode(tag));
        HeaderValue::try_from(value).ok()
    }

    /// Who brought a request that came at `now_ms`.
    pub(super) fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap, now_ms: u64) -> Brought {
        let mut values = headers.get_all(HEADER).iter();
        match (values.next(), values.next()) {
            (None, _) => Brought::ByClient,
            (Some(value), None) if self.is_ours(value, method, uri, now_ms).is_some() => Brought::ByEdge,
            _ => Brought::Forged,
        }
    }

    fn is_ours(&self, value: &HeaderValue, method: &Method, uri: &Uri, now_ms: u64) -> Option<()> {
        let (time, tag) = value.to_str().ok()?.split_once('.')?;
        let sent_ms: u64 = time.parse().ok()?;
        let skew_max_ms = CLUSTER_CLOCK_SKEW_MAX.as_millis() as u64;
        if sent_ms.abs_diff(now_ms) > skew_max_ms {
            return None;
        }
        let tag = BASE64URL.decode(tag).ok()?;
        hmac::verify(&self.key()?, &signed(sent_ms, method, uri), &tag).ok()
    }

    fn key(&self) -> Option<hmac::Key> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn signed(time_ms: u64, method: &Method, uri: &Uri) -> Vec<u8> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    format!("{time_ms}\n{method}\n{path}").into_bytes()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const NOW_MS: u64 = 1_700_000_000_000;

    fn keyring(secret: &[u8]) -> Keyring {
        let keyring = Keyring::default();
        keyring.set(secret);
        keyring
    }

    fn headers(value: HeaderValue) -> HeaderMap {
        HeaderMap::from_iter([(HEADER, value)])
    }

    #[test]
    fn edges_with_the_same_secret_know_each_other() {
        let (one, other) = (keyring(b"secret"), keyring(b"secret"));
        let uri: Uri = "/socket.io/?EIO=4&sid=x".parse().unwrap();
        let signed = headers(one.sign(&Method::GET, &uri, NOW_MS).unwrap());
        let skew_ms = CLUSTER_CLOCK_SKEW_MAX.as_millis() as u64;
        for now_ms in [NOW_MS, NOW_MS + skew_ms, NOW_MS - skew_ms] {
            assert_eq!(other.check(&Method::GET, &uri, &signed, now_ms), Brought::ByEdge);
        }
        assert_eq!(
            other.check(&Method::GET, &uri, &HeaderMap::new(), NOW_MS),
            Brought::ByClient
        );
    }

    #[test]
    fn what_was_not_signed_so_is_forged() {
        let keyring = keyring(b"secret");
        let uri: Uri = "/socket.io/?sid=x".parse().unwrap();
        let value = keyring.sign(&Method::GET, &uri, NOW_MS).unwrap();
        let signed = headers(value.clone());
        let late = NOW_MS + CLUSTER_CLOCK_SKEW_MAX.as_millis() as u64 + 1;
        let other: Uri = "/socket.io/?sid=y".parse().unwrap();
        let mut twice = signed.clone();
        twice.append(HEADER, value);
        for (method, uri, headers, now_ms) in [
            (Method::POST, &uri, &signed, NOW_MS),
            (Method::GET, &other, &signed, NOW_MS),
            (Method::GET, &uri, &signed, late),
            (Method::GET, &uri, &twice, NOW_MS),
            (Method::GET, &uri, &headers(HeaderValue::from_static("x")), NOW_MS),
            (
                Method::GET,
                &uri,
                &headers(HeaderValue::from_static("1700000000000.AAAA")),
                NOW_MS,
            ),
        ] {
            assert_eq!(keyring.check(&method, uri, headers, now_ms), Brought::Forged);
        }
        let stranger = super::tests::keyring(b"another");
        assert_eq!(
            stranger.check(&Method::GET, &uri, &signed, NOW_MS),
            Brought::Forged
        );
        assert_eq!(
            Keyring::default().check(&Method::GET, &uri, &signed, NOW_MS),
            Brought::Forged
        );
        assert!(Keyring::default().sign(&Method::GET, &uri, NOW_MS).is_none());
    }
}
