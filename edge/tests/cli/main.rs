//! `weir tail` and `weir publish` as processes, against an edge that fails on command.

#![allow(clippy::unwrap_used)]

mod fake_edge;
mod publish_cuts;
mod publish_refusals;
mod script;
mod tail_cuts;
mod tail_output;
mod tail_told;
mod weir_process;
