//! Texts with places for what a client sends, such as `doc:{0}`.
//!
//! | placeholder | stands for |
//! |---|---|
//! | `{0}`, `{1}`, … | an argument of the event, by its place |
//! | `{0.field}`, `{0.a.b}` | a field of an argument that is an object |
//! | `{auth.field}`, `{auth.a.b}` | a field of the client's `auth` |
//! | `{namespace}` | the name of the namespace without its leading slash |
//!
//! A value is a text or a whole number, and not empty. Anything else is an error, never a text that was not meant.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Arguments that a placeholder can name.
const ARGUMENTS_MAX: usize = 16;
/// Bytes of a template.
const TEMPLATE_BYTES_MAX: usize = 1_000;

/// A text with placeholders, taken apart. It remembers how it was written.
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    source: Box<str>,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Value(Place),
}

/// Where the value of a placeholder comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// An argument of the event, or a field of it where the path is not empty.
    Argument(usize, Vec<Box<str>>),
    /// A field of the client's `auth`. The path is not empty.
    Auth(Vec<Box<str>>),
    /// The name of the namespace without its leading slash.
    Namespace,
}

impl Template {
    /// The text with the value of each placeholder, as `value` gives it.
    pub(crate) fn render<E>(
        &self,
        mut value: impl FnMut(&Place, &mut String) -> Result<(), E>,
    ) -> Result<String, E> {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Value(place) => value(place, &mut out)?,
            }
        }
        Ok(out)
    }

    /// The places that its placeholders name.
    pub(crate) fn places(&self) -> impl Iterator<Item = &Place> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Value(place) => Some(place),
        })
    }

    /// The text between the placeholders.
    pub(crate) fn literals(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(&**text),
            Part::Value(_) => None,
        })
    }
}

impl FromStr for Template {
    type Err = TemplateError;
    fn from_str(text: &str) -> Result<Self, TemplateError> {
        if text.len() > TEMPLATE_BYTES_MAX {
            return Err(TemplateError::TooLong);
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (literal, from_brace) = rest.split_at(at);
            if !literal.is_empty() {
                parts.push(Part::Text(literal.into()));
            }
            let inner = from_brace.strip_prefix('{').ok_or(TemplateError::Brace)?;
            let (placeholder, behind) = inner.split_once('}').ok_or(TemplateError::Brace)?;
            parts.push(Part::Value(placeholder.parse()?));
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        Ok(Self {
            source: text.into(),
            parts,
        })
    }
}

impl FromStr for Place {
    type Err = TemplateError;
    fn from_str(text: &str) -> Result<Self, TemplateError> {
        let unknown = || TemplateError::Placeholder(text.to_owned());
        let mut names = text.split('.');
        let first = names.next().unwrap_or_default();
        let path: Vec<Box<str>> = names.map(Box::from).collect();
        if path.iter().any(|name| name.is_empty() || name.contains('{')) {
            return Err(unknown());
        }
        match first {
            "auth" if !path.is_empty() => Ok(Self::Auth(path)),
            "namespace" if path.is_empty() => Ok(Self::Namespace),
            digits if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
                let index = digits.parse().ok().filter(|index| *index < ARGUMENTS_MAX);
                Ok(Self::Argument(index.ok_or_else(unknown)?, path))
            }
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = match self {
            Self::Argument(index, path) => {
                write!(f, "{index}")?;
                path
            }
            Self::Auth(path) => {
                f.write_str("auth")?;
                path
            }
            Self::Namespace => return f.write_str("namespace"),
        };
        path.iter().try_for_each(|name| write!(f, ".{name}"))
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.source, f)
    }
}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.source)
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a text is not a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A brace without its counterpart.
    #[error("a brace without its counterpart")]
    Brace,
    /// What stands between braces is no placeholder.
    #[error(
        "{{{0}}} is no placeholder: expected such as {{0}}, {{0.field}}, {{auth.field}} or {{namespace}}, with arguments from 0 to {max}",
        max = ARGUMENTS_MAX - 1
    )]
    Placeholder(String),
    /// More text than anybody needs.
    #[error("a template has at most {TEMPLATE_BYTES_MAX} bytes")]
    TooLong,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn rendered(template: &str) -> String {
        let template: Template = template.parse().unwrap();
        let write = |place: &Place, out: &mut String| {
            out.push_str(&format!("<{place}>"));
            Ok::<(), ()>(())
        };
        template.render(write).unwrap()
    }

    #[test]
    fn placeholders_are_found_where_they_stand() {
        for (template, shown) in [
            ("doc:{0}", "doc:<0>"),
            ("{0}", "<0>"),
            ("", ""),
            ("plain", "plain"),
            (
                "a:{15.x.y}:{auth.user.id}{namespace}/z",
                "a:<15.x.y>:<auth.user.id><namespace>/z",
            ),
            ("{0.0}{1}", "<0.0><1>"),
        ] {
            assert_eq!(rendered(template), shown);
        }
    }

    #[test]
    fn what_is_no_placeholder_is_refused() {
        for template in ["{", "}", "a}b{", "{0", "0}", "{{0}}", "{0}}"] {
            let error = template.parse::<Template>().unwrap_err();
            assert!(
                matches!(error, TemplateError::Brace | TemplateError::Placeholder(_)),
                "{template}"
            );
        }
        for place in [
            "",
            "x",
            "auth",
            "auth.",
            "0.",
            "0..a",
            ".a",
            "16",
            "-1",
            "00000000000000000000000",
            "namespace.a",
            " 0",
            "99999999999999999999999",
        ] {
            let text = format!("a{{{place}}}");
            if place == "00000000000000000000000" {
                assert_eq!(rendered(&text), "a<0>");
                continue;
            }
            let error = text.parse::<Template>().unwrap_err();
            assert_eq!(error, TemplateError::Placeholder(place.to_owned()));
        }
        assert_eq!("x".repeat(1_001).parse::<Template>(), Err(TemplateError::TooLong));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_shown_as_it_was_written(text in ".{0,40}|[{}0.a]{0,12}") {
            if let Ok(template) = text.parse::<Template>() {
                prop_assert_eq!(template.to_string(), text);
                for place in template.places() {
                    prop_assert_eq!(&place.to_string().parse::<Place>().unwrap(), place);
                }
            }
        }
    }
}
