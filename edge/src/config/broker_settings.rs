//! The sections whose settings belong to the broker, in the form the file has them.

use std::time::Duration;

use broker::{HubConfig, Retention, RetentionRule, RetentionRules, TailMode};
use serde::{Deserialize, Deserializer};
use shared::StreamPattern;

use super::units;

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RetentionFile {
    #[serde(deserialize_with = "units::count_or_none")]
    entries: Option<u64>,
    #[serde(deserialize_with = "units::duration_or_none")]
    age: Option<Duration>,
    #[serde(deserialize_with = "units::duration_or_none")]
    idle: Option<Duration>,
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
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    pattern: StreamPattern,
    #[serde(default, deserialize_with = "some_count")]
    entries: Option<Option<u64>>,
    #[serde(default, deserialize_with = "some_duration")]
    age: Option<Option<Duration>>,
    #[serde(default, deserialize_with = "some_duration")]
    idle: Option<Option<Duration>>,
}

fn some_count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u64>>, D::Error> {
    units::count_or_none(deserializer).map(Some)
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

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct HubFile {
    ring_entries: usize,
    #[serde(deserialize_with = "units::bytes")]
    ring_bytes: usize,
    #[serde(deserialize_with = "units::bytes")]
    rings_bytes: usize,
    streams: usize,
    #[serde(deserialize_with = "units::duration")]
    linger: Duration,
}

impl Default for HubFile {
    fn default() -> Self {
        let default = HubConfig::default();
        Self {
            ring_entries: default.ring_entries_max,
            ring_bytes: default.ring_bytes_max,
            rings_bytes: default.rings_bytes_max,
            streams: default.streams_max,
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
        streams_max: file.streams,
        linger: file.linger,
    })
}

#[derive(Deserialize)]
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
