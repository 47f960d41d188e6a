//! The sections whose settings belong to the broker, in the form the file has them.

use std::time::Duration;

use broker::{Durability, HubConfig, Retention, RetentionRule, RetentionRules, TailMode};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use shared::StreamPattern;

use super::units;

#[derive(Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub(super) struct RetentionFile {
    /// Entries, approximately (whole nodes of the stream are dropped).
    #[serde(
        serialize_with = "units::write_count_or_none",
        deserialize_with = "units::count_or_none"
    )]
    entries: Option<u64>,
    /// Age of an entry.
    #[serde(
        serialize_with = "units::write_duration_or_none",
        deserialize_with = "units::duration_or_none"
    )]
    age: Option<Duration>,
    /// Time without an append after which the whole stream expires.
    #[serde(
        serialize_with = "units::write_duration_or_none",
        deserialize_with = "units::duration_or_none"
    )]
    idle: Option<Duration>,
    /// Rules for some streams: `pattern` (`*` stands for anything), and what differs. The first that matches
    /// counts.
    rules: Vec<RuleFile>,
}

impl Default for RetentionFile {
    fn default() -> Self {
        let default = Retention::default();
        Self {
            entries: default.entries_max,
            age: default.age_max,
            idle: default.idle_max,
            rules: Vec::new(),
        }
    }
}

/// What a rule does not say is as it is for all other streams.
#[derive(Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct RuleFile {
    #[cfg_attr(test, schemars(with = "String"))]
    pattern: StreamPattern,
    #[serde(default, serialize_with = "write_some_count", deserialize_with = "some_count")]
    entries: Option<Option<u64>>,
    #[serde(
        default,
        serialize_with = "write_some_duration",
        deserialize_with = "some_duration"
    )]
    age: Option<Option<Duration>>,
    #[serde(
        default,
        serialize_with = "write_some_duration",
        deserialize_with = "some_duration"
    )]
    idle: Option<Option<Duration>>,
}

fn some_count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u64>>, D::Error> {
    units::count_or_none(deserializer).map(Some)
}

fn write_some_count<S: Serializer>(count: &Option<Option<u64>>, serializer: S) -> Result<S::Ok, S::Error> {
    units::write_count_or_none(&count.flatten(), serializer)
}

fn write_some_duration<S: Serializer>(
    duration: &Option<Option<Duration>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    units::write_duration_or_none(&duration.flatten(), serializer)
}

fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Duration>>, D::Error> {
    units::duration_or_none(deserializer).map(Some)
}

pub(super) fn retention<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RetentionRules, D::Error> {
    let file = RetentionFile::deserialize(deserializer)?;
    let default = Retention {
        entries_max: file.entries,
        age_max: file.age,
        idle_max: file.idle,
    };
    let rule = |rule: RuleFile| RetentionRule {
        pattern: rule.pattern,
        retention: Retention {
            entries_max: rule.entries.unwrap_or(default.entries_max),
            age_max: rule.age.unwrap_or(default.age_max),
            idle_max: rule.idle.unwrap_or(default.idle_max),
        },
    };
    Ok(RetentionRules {
        rules: file.rules.into_iter().map(rule).collect(),
        default,
    })
}

/// Each rule with all that holds for its streams.
pub(super) fn write_retention<S: Serializer>(
    retention: &RetentionRules,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let rule = |rule: &RetentionRule| RuleFile {
        pattern: rule.pattern.clone(),
        entries: Some(rule.retention.entries_max),
        age: Some(rule.retention.age_max),
        idle: Some(rule.retention.idle_max),
    };
    let file = RetentionFile {
        entries: retention.default.entries_max,
        age: retention.default.age_max,
        idle: retention.default.idle_max,
        rules: retention.rules.iter().map(rule).collect(),
    };
    file.serialize(serializer)
}

#[derive(Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub(super) struct HubFile {
    /// Recent entries of one stream.
    ring_entries: usize,
    /// Bytes of one stream's recent entries.
    #[serde(serialize_with = "units::write_bytes", deserialize_with = "units::bytes")]
    ring_bytes: usize,
    /// Bytes of all recent entries together.
    #[serde(serialize_with = "units::write_bytes", deserialize_with = "units::bytes")]
    rings_bytes: usize,
    /// Bytes of older history that all readers who catch up hold together. The more is held, the shorter are their pages, down to one event
    /// each.
    #[serde(serialize_with = "units::write_bytes", deserialize_with = "units::bytes")]
    history_bytes: usize,
    /// Streams this edge follows at the same time.
    streams: usize,
    /// How long an event waits at the most for those that come after it, so that all of them go out in one write. Only where
    /// one event chases the other (eight in that time) and more than eight sockets follow the stream; `"0s"`: none does.
    #[serde(
        serialize_with = "units::write_duration",
        deserialize_with = "units::duration"
    )]
    gather: Duration,
    /// How long a stream without subscribers is still followed.
    #[serde(
        serialize_with = "units::write_duration",
        deserialize_with = "units::duration"
    )]
    linger: Duration,
}

impl Default for HubFile {
    fn default() -> Self {
        let default = HubConfig::default();
        Self {
            ring_entries: default.ring_entries_max,
            ring_bytes: default.ring_bytes_max,
            rings_bytes: default.rings_bytes_max,
            history_bytes: default.history_bytes_max,
            streams: default.streams_max,
            gather: default.gather_max,
            linger: default.linger,
        }
    }
}

pub(super) fn hub<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HubConfig, D::Error> {
    let file = HubFile::deserialize(deserializer)?;
    Ok(HubConfig {
        ring_entries_max: file.ring_entries,
        ring_bytes_max: file.ring_bytes,
        rings_bytes_max: file.rings_bytes,
        history_bytes_max: file.history_bytes,
        streams_max: file.streams,
        gather_max: file.gather,
        linger: file.linger,
    })
}

pub(super) fn write_hub<S: Serializer>(hub: &HubConfig, serializer: S) -> Result<S::Ok, S::Error> {
    let file = HubFile {
        ring_entries: hub.ring_entries_max,
        ring_bytes: hub.ring_bytes_max,
        rings_bytes: hub.rings_bytes_max,
        history_bytes: hub.history_bytes_max,
        streams: hub.streams_max,
        gather: hub.gather_max,
        linger: hub.linger,
    };
    file.serialize(serializer)
}

pub(super) fn durability<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Durability, D::Error> {
    String::deserialize(deserializer)?
        .parse()
        .map_err(D::Error::custom)
}

pub(super) fn write_durability<S: Serializer>(
    durability: &Durability,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(durability)
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum TailModeFile {
    Auto,
    Blocking,
}

pub(super) fn tail_mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TailMode, D::Error> {
    Ok(match TailModeFile::deserialize(deserializer)? {
        TailModeFile::Auto => TailMode::Auto,
        TailModeFile::Blocking => TailMode::Blocking,
    })
}

pub(super) fn write_tail_mode<S: Serializer>(mode: &TailMode, serializer: S) -> Result<S::Ok, S::Error> {
    let file = match mode {
        TailMode::Auto => TailModeFile::Auto,
        TailMode::Blocking => TailModeFile::Blocking,
    };
    file.serialize(serializer)
}
