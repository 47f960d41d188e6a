//! From a file and what beats it to a configuration, with everything that is wrong on the way.

use std::ffi::OsString;
use std::fmt;
use std::ops::Range;
use std::path::Path;

use serde::Deserialize as _;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue, Deserializer};

use super::secret::Secret;
use super::{Config, RedisUrl};

/// Why a configuration cannot be used: one line for the operator, which never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub(super) String);

/// Everything that is wrong with a configuration: one thing at least. Printed as the first of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// `Ok` if nothing is wrong.
    pub(super) fn none_of(errors: Vec<ConfigError>) -> Result<(), Self> {
        match errors.is_empty() {
            true => Ok(()),
            false => Err(Self(errors)),
        }
    }

    /// Each of them, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }
}

impl std::error::Error for ConfigErrors {}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, others @ ..] = &self.0[..] else {
            return Ok(());
        };
        fmt::Display::fmt(first, f)?;
        match others.len() {
            0 => Ok(()),
            more => write!(f, " (and {more} more: `weir check-config` tells them all)"),
        }
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

impl Config {
    /// The defaults with what a file says over them. Not checked yet: flags may follow.
    pub fn from_file(path: &Path) -> Result<Self, ConfigErrors> {
        let shown = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|e| ConfigError(format!("cannot read the configuration file {shown}: {e}")))?;
        Self::from_toml(&text).map_err(|errors| {
            let of_file = |error: &ConfigError| ConfigError(format!("{shown}:{error}"));
            ConfigErrors(errors.iter().map(of_file).collect())
        })
    }

    /// The defaults with what a TOML text says over them. Each error begins with `LINE:COLUMN:`, and names the option.
    pub fn from_toml(text: &str) -> Result<Self, ConfigErrors> {
        let (table, errors) = DeTable::parse_recoverable(text);
        ConfigErrors::none_of(
            errors
                .iter()
                .map(|e| located(text, e.span(), None, e.message()))
                .collect(),
        )?;
        let mut found = Found {
            text,
            errors: Vec::new(),
        };
        for (section, value) in table.get_ref() {
            found.check_section(section, value);
        }
        // The table is in no order of the file's.
        found.errors.sort_by_key(|(place, _)| *place);
        ConfigErrors::none_of(found.errors.into_iter().map(|(_, error)| error).collect())?;
        Self::deserialize(Deserializer::from(table))
            .map_err(|e| located(text, e.span(), None, e.message()).into())
    }

    /// Keeps the streams in the Redis at `url`.
    pub fn set_redis(&mut self, url: &str) -> Result<(), ConfigError> {
        let url: RedisUrl = url.parse().map_err(|e| ConfigError(format!("redis.url: {e}")))?;
        self.redis.url = Some(url);
        Ok(())
    }

    /// Takes secrets from the environment, where a command line would show them to everybody: `WEIR_REDIS_PASSWORD`,
    /// `WEIR_CLUSTER_SECRET`, and the same with `_FILE`.
    pub fn set_secrets(
        &mut self,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<(), ConfigErrors> {
        let mut errors = Vec::new();
        let redis = (&mut self.redis.password, &mut self.redis.password_file);
        let cluster = (&mut self.cluster.secret, &mut self.cluster.secret_file);
        for (name, (secret, file)) in [("WEIR_REDIS_PASSWORD", redis), ("WEIR_CLUSTER_SECRET", cluster)] {
            let set = |name: &str| environment(name).filter(|value| !value.is_empty());
            let (given, given_file) = (set(name), set(&format!("{name}_FILE")));
            if given.is_none() && given_file.is_none() {
                continue;
            }
            *file = given_file.map(Into::into);
            match given.map(|given| given.to_str().unwrap_or_default().parse::<Secret>()) {
                Some(Err(error)) => errors.push(ConfigError(format!("{name}: {error}, in UTF-8"))),
                given => *secret = given.and_then(Result::ok),
            }
        }
        ConfigErrors::none_of(errors)
    }
}

type Name<'i> = Spanned<DeString<'i>>;
type Value<'i> = Spanned<DeValue<'i>>;

/// What is wrong in a text, and at which byte.
struct Found<'i> {
    text: &'i str,
    errors: Vec<(usize, ConfigError)>,
}

impl Found<'_> {
    /// Tries each option of a section by itself, so that the first mistake does not hide the others.
    fn check_section(&mut self, section: &Name<'_>, value: &Value<'_>) {
        let name = section.get_ref();
        let nothing = Spanned::new(value.span(), DeValue::Table(DeTable::new()));
        let is_section = attempt(section, nothing);
        match (value.get_ref(), is_section) {
            (DeValue::Table(options), Ok(())) => {
                for (option, value) in options {
                    let alone = DeTable::from_iter([(option.clone(), value.clone())]);
                    let alone = Spanned::new(value.span(), DeValue::Table(alone));
                    if let Err(error) = attempt(section, alone) {
                        self.note(
                            error.span(),
                            error.message(),
                            &format!("{name}.{}", option.get_ref()),
                        );
                    }
                }
            }
            (DeValue::Table(_), Err(error)) => self.note(error.span(), error.message(), name),
            // What stands there may be a secret, which the usual error would repeat.
            (_, Ok(())) => {
                let problem = format!("is a section: expected [{name}], and its options below");
                self.note(Some(value.span()), &problem, name);
            }
            (_, Err(_)) => {
                if let Err(error) = attempt(section, value.clone()) {
                    self.note(error.span(), error.message(), name);
                }
            }
        }
    }

    fn note(&mut self, span: Option<Range<usize>>, problem: &str, option: &str) {
        let place = span.as_ref().map_or(0, |span| span.start);
        self.errors
            .push((place, located(self.text, span, Some(option), problem)));
    }
}

/// Whether a configuration can have `value` under `name`.
fn attempt(name: &Name<'_>, value: Value<'_>) -> Result<(), toml::de::Error> {
    let span = value.span();
    let table = DeTable::from_iter([(name.clone(), value)]);
    Config::deserialize(Deserializer::from(Spanned::new(span, table))).map(|_| ())
}

/// `LINE:COLUMN: option: message`.
fn located(text: &str, span: Option<Range<usize>>, option: Option<&str>, message: &str) -> ConfigError {
    let before = span.and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    // The message may have several lines; an error of ours has one.
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let option = option.map(|option| format!("{option}: ")).unwrap_or_default();
    ConfigError(format!("{line}:{column}: {option}{message}"))
}
