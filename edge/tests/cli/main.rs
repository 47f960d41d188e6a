//! `weir tail` and `weir publish` as processes: against an edge that fails on command, and against a real one.

#![allow(clippy::unwrap_used)]

mod durability;
mod edge_process;
mod fake_edge;
mod publish_cuts;
mod publish_refusals;
mod real_edge;
mod script;
mod tail_cuts;
mod tail_output;
mod tail_told;
mod tls;
mod weir_process;
