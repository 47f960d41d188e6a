//! The query string of a request.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The parameters that Engine.IO knows. Others belong to what runs on top.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Query<'a> {
    pub(super) transport: Cow<'a, str>,
    pub(super) sid: Cow<'a, str>,
    pub(super) version: Cow<'a, str>,
}

impl<'a> Query<'a> {
    /// Reads a query string. Where a parameter stands twice the last one counts.
    pub(super) fn parse(text: &'a str) -> Self {
        let mut query = Self::default();
        for parameter in text.split('&') {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = || percent_decode_str(value).decode_utf8_lossy();
            match name {
                "transport" => query.transport = value(),
                "sid" => query.sid = value(),
                "EIO" => query.version = value(),
                _ => {}
            }
        }
        query
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_parameters_are_found_among_others() {
        let query = Query::parse("EIO=4&t=x&transport=poll%69ng&sid=a&sid=b%2");
        let expected = Query {
            transport: "polling".into(),
            sid: "b%2".into(),
            version: "4".into(),
        };
        assert_eq!(query, expected);
        assert_eq!(Query::parse(""), Query::default());
        assert_eq!(Query::parse("&&=&sid&EIO"), Query::default());
    }
}
