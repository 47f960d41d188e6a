//! A program that was built without OTLP: nothing is recorded.

use std::time::SystemTime;

use broker::Delivery;
use shared::Entry;
use shared::trace::TraceParent;

use super::Published;
use crate::config::OtlpSettings;
use crate::trace::RequestTrace;

/// Whether spans can be exported.
pub const AVAILABLE: bool = false;

/// Exports nothing: a configuration that asks for it is refused before.
pub fn install(_settings: &OtlpSettings, _edge: &str) -> Result<(), String> {
    Ok(())
}

/// There is nothing to send.
pub fn shutdown() {}

pub(crate) fn now_if_wanted(_trace: TraceParent) -> Option<SystemTime> {
    None
}

pub(crate) fn request(_: &RequestTrace, _method: &str, _route: &str, _status: u16, _: Option<SystemTime>) {}

pub(crate) fn published(_: &Published<'_>, _outcome: &'static str) {}

pub(crate) fn delivered(_transport: &'static str, _: &Entry) {}

pub(crate) fn deliveries(_transport: &'static str, _: &[Delivery]) {}
