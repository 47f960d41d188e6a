//! The edge as a client sees it: its URL, and requests to it. It never tries again by itself: that is for the
//! commands, which know what was under way.

use broker::Durability;
use reqwest::{RequestBuilder, Url};
use shared::StreamName;
use shared::limits::CLIENT_CONNECT_TIMEOUT;

use super::Failure;
use super::problem::root_cause;

/// The edge that the clients ask when they are told no other.
pub(super) const DEFAULT_URL: &str = "http://127.0.0.1:7400";

/// The content type of lines of JSON.
pub(super) const NDJSON: &str = "application/x-ndjson";

/// An edge, or a load balancer before several.
#[derive(Debug, Clone)]
pub(super) struct Edge {
    base: Url,
    http: reqwest::Client,
}

impl Edge {
    /// The edge at `url`. Nothing is sent yet.
    pub(super) fn new(url: &str) -> Result<Self, Failure> {
        let wrong = |why: String| Failure::Usage(format!("--url {:?}: {why}", without_credentials(url)));
        let mut base =
            Url::parse(url).map_err(|_| wrong("expected a URL such as http://127.0.0.1:7400".into()))?;
        if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
            return Err(wrong(
                "expected a URL that begins with http:// or https://".into(),
            ));
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(wrong("a query or fragment cannot stand here".into()));
        }
        let path = base.path().trim_end_matches('/').to_owned();
        base.set_path(&path);
        // A second set-up in one process is not an error: the first one serves.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .user_agent(concat!("weir/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CLIENT_CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            // A connection that idled may be dead; opening one costs next to nothing beside what is sent on it.
            .pool_max_idle_per_host(0)
            .tcp_nodelay(true)
            .build()
            .map_err(|e| Failure::Runtime(format!("cannot set up HTTP: {}", root_cause(&e))))?;
        Ok(Self { base, http })
    }

    /// The URL without a password: for people, and for the `--resume` file.
    pub(super) fn shown(&self) -> String {
        let mut url = self.base.clone();
        // Cannot fail: the URL has a host.
        let _ = url.set_password(None);
        url.as_str().trim_end_matches('/').to_owned()
    }

    /// The URL of one stream, or why its name cannot stand in one.
    pub(super) fn stream_url(&self, stream: &StreamName) -> Result<Url, Failure> {
        if matches!(stream.as_str(), "." | "..") {
            let why = "a URL takes this name for a step in its path; choose another stream name";
            return Err(Failure::Usage(format!("stream {:?}: {why}", stream.as_str())));
        }
        Ok(self.url(&["v1", "streams", stream.as_str()]))
    }

    /// The URL of a merged tail.
    pub(super) fn tail_url(&self) -> Url {
        self.url(&["v1", "tail"])
    }

    /// The URL of a path of one step, such as `healthz`.
    pub(super) fn plain_url(&self, segment: &str) -> Url {
        self.url(&[segment])
    }

    fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        // Cannot fail: an http URL has a path.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// A GET of `url`.
    pub(super) fn get(&self, url: Url) -> RequestBuilder {
        self.http.get(url)
    }

    /// A POST to `url` of what must be so durable before it counts as published.
    pub(super) fn publish(&self, url: Url, durability: Option<Durability>) -> RequestBuilder {
        let post = self.http.post(url);
        match durability {
            Some(durability) => post.header("weir-durability", durability.to_string()),
            None => post,
        }
    }
}

/// A text that should be a URL, without what may be a password.
fn without_credentials(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    match rest.rsplit_once('@') {
        Some((_, place)) => format!("{scheme}://***@{place}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_name_is_one_segment_and_a_prefix_stays() {
        let edge = Edge::new("http://example.test/weir/").unwrap();
        let url = edge.stream_url(&"a/b:c".parse().unwrap()).unwrap();
        assert_eq!(url.as_str(), "http://example.test/weir/v1/streams/a%2Fb:c");
        assert_eq!(edge.tail_url().as_str(), "http://example.test/weir/v1/tail");
        assert_eq!(edge.shown(), "http://example.test/weir");
        assert_eq!(Edge::new(DEFAULT_URL).unwrap().shown(), DEFAULT_URL);
    }

    #[test]
    fn a_password_is_not_shown() {
        let edge = Edge::new("https://ada:secret@example.test").unwrap();
        assert_eq!(edge.shown(), "https://ada@example.test");
    }

    #[test]
    fn what_is_no_url_is_refused_in_one_line() {
        for wrong in ["", "127.0.0.1:7400", "ftp://x", "http://x?a=b", "localhost:7400"] {
            let failure = Edge::new(wrong).unwrap_err().to_string();
            assert!(failure.contains("--url") && !failure.contains('\n'), "{failure}");
        }
    }
}
