//! The names of namespaces.

use std::fmt;
use std::sync::Arc;

/// The name of a namespace: begins with `/`, holds no comma and no question mark.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace(Option<Arc<str>>);

impl Namespace {
    /// The main namespace, `/`, which takes no memory of its own.
    pub const MAIN: Self = Self(None);

    /// The namespace of this name, if it is one. A question mark would be a query string, which the protocol gave up
    /// in its version 5.
    pub fn new(name: &str) -> Option<Self> {
        if name == "/" {
            return Some(Self::MAIN);
        }
        let valid = name.starts_with('/') && memchr::memchr2(b',', b'?', name.as_bytes()).is_none();
        valid.then(|| Self(Some(Arc::from(name))))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or("/")
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn names_begin_with_a_slash_and_hold_neither_comma_nor_query() {
        for name in ["/", "/a", "/a/b", "/ä b", "//"] {
            assert_eq!(Namespace::new(name).unwrap().as_str(), name);
        }
        for name in ["", "a", "/a,", "/a?b=c", "?"] {
            assert_eq!(Namespace::new(name), None, "{name}");
        }
        assert_eq!(Namespace::new("/"), Some(Namespace::MAIN));
    }

    #[test]
    fn it_is_two_words() {
        assert_eq!(size_of::<Namespace>(), 16);
    }
}
