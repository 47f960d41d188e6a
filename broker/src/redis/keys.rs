//! What the keys in Redis are called. One stream and everything kept beside it share one hash tag, and so one slot
//! of a Redis Cluster.

use shared::StreamName;

/// What stands for the stream's name in a template.
const PLACEHOLDER: &str = "NAME";

/// Begins the keys that belong to no stream where the template has nothing to begin them with.
const APART_DEFAULT: &str = "weir:";

/// Turns stream names into keys: `weir:{NAME}` makes `weir:{doc:1}` of `doc:1`; `logs:NAME` makes `logs:doc:1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyTemplate {
    before: Box<str>,
    after: Box<str>,
    beside: Beside,
    /// What the keys that belong to no stream begin with.
    apart: Box<str>,
}

/// How a key beside a stream's key is built, so that both have the same hash tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    /// The name is inside the braces: `weir:{doc:1}:…`. No stream's key looks so, as no name holds a brace.
    Tagged,
    /// There are braces, but the name is outside: `{app}:doc:1~…`. No name holds a `~`.
    Outside,
    /// No braces: the whole key of the stream becomes the hash tag, `{logs:doc:1}:…`.
    Plain,
}

impl KeyTemplate {
    /// Reads a template. It must hold `NAME` once, and braces either not at all or as one pair around something.
    pub(super) fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = text.split(PLACEHOLDER);
        let (Some(before), Some(after), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(TemplateError::Name);
        };
        if text.bytes().any(|b| b <= b' ' || b == 0x7f) {
            return Err(TemplateError::Character);
        }
        let opens: Vec<usize> = text.match_indices('{').map(|(at, _)| at).collect();
        let closes: Vec<usize> = text.match_indices('}').map(|(at, _)| at).collect();
        let beside = match (opens[..].first(), closes[..].first()) {
            (None, None) => Beside::Plain,
            (Some(open), Some(close)) if opens.len() == 1 && closes.len() == 1 && open + 1 < *close => {
                if *open < before.len() && *close >= before.len() {
                    Beside::Tagged
                } else {
                    Beside::Outside
                }
            }
            _ => return Err(TemplateError::Braces),
        };
        let apart = before.replace(['{', '}'], "");
        let apart = if apart.is_empty() { APART_DEFAULT } else { &apart };
        Ok(Self {
            apart: apart.into(),
            before: before.into(),
            after: after.into(),
            beside,
        })
    }

    /// The key of a stream.
    pub(super) fn stream_key(&self, stream: &StreamName) -> String {
        [&self.before, stream.as_str(), &self.after].concat()
    }

    /// What the keys of all streams begin with.
    pub(super) fn prefix(&self) -> &str {
        &self.before
    }

    /// The key of no stream, as no name is like this: to find out whether the server takes writes.
    pub(super) fn probe_key(&self) -> String {
        [&self.before, "!probe", &self.after].concat()
    }

    /// What the keys that are kept beside the stream's own begin with; in its slot, and the key of no stream.
    pub(super) fn beside(&self, stream: &StreamName) -> String {
        let key = self.stream_key(stream);
        match self.beside {
            Beside::Tagged => key + ":",
            Beside::Outside => key + "~",
            Beside::Plain => ["{", &key, "}:"].concat(),
        }
    }

    /// The key of something that belongs to no stream: `weir:session:{ID}`. The key of no stream, as no name holds a
    /// brace, and those of the template stand elsewhere.
    pub(super) fn apart(&self, kind: &str, id: &str) -> String {
        [&self.apart, kind, ":{", id, "}"].concat()
    }
}

/// Why a text is not a key template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum TemplateError {
    /// `NAME` is not in it exactly once.
    #[error("the key template must hold NAME exactly once, such as weir:{{NAME}}")]
    Name,
    /// A space or a control character.
    #[error("the key template may not hold spaces or control characters")]
    Character,
    /// Braces that make no hash tag.
    #[error("the key template may hold one pair of braces with something in it, such as weir:{{NAME}}")]
    Braces,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The part of a key that decides on its slot (Redis Cluster specification, "Hash tags").
    fn hashed(key: &str) -> &str {
        key.split_once('{')
            .and_then(|(_, rest)| rest.split_once('}'))
            .map(|(tag, _)| tag)
            .filter(|tag| !tag.is_empty())
            .unwrap_or(key)
    }

    #[test]
    fn keys_of_one_stream_share_a_slot() {
        let name: StreamName = "doc:1".parse().unwrap();
        for (template, key, beside) in [
            ("weir:{NAME}", "weir:{doc:1}", "weir:{doc:1}:"),
            ("NAME", "doc:1", "{doc:1}:"),
            ("logs:NAME", "logs:doc:1", "{logs:doc:1}:"),
            ("{app}:NAME:v1", "{app}:doc:1:v1", "{app}:doc:1:v1~"),
            ("{app:NAME}", "{app:doc:1}", "{app:doc:1}:"),
        ] {
            let template = KeyTemplate::parse(template).unwrap();
            assert_eq!(template.stream_key(&name), key);
            assert_eq!(template.beside(&name), beside);
            assert_eq!(hashed(&template.beside(&name)), hashed(key));
        }
    }

    #[test]
    fn what_belongs_to_no_stream_has_keys_of_its_own() {
        for (template, key) in [
            ("weir:{NAME}", "weir:session:{abc}"),
            ("NAME", "weir:session:{abc}"),
            ("logs:NAME", "logs:session:{abc}"),
            ("{app}:NAME:v1", "app:session:{abc}"),
            ("{app:NAME}", "app:session:{abc}"),
        ] {
            let template = KeyTemplate::parse(template).unwrap();
            assert_eq!(template.apart("session", "abc"), key);
        }
    }

    #[test]
    fn templates_that_name_no_key_are_refused() {
        for (text, why) in [
            ("weir", TemplateError::Name),
            ("NAME:NAME", TemplateError::Name),
            ("we ir:NAME", TemplateError::Character),
            ("a{NAME", TemplateError::Braces),
            ("a}NAME{", TemplateError::Braces),
            ("{}NAME", TemplateError::Braces),
            ("{{NAME}}", TemplateError::Braces),
        ] {
            assert_eq!(KeyTemplate::parse(text), Err(why), "{text}");
        }
    }
}
