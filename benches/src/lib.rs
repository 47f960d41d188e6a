//! Measurements of Weir beside what bounds it, in one run on one machine: only the ratios mean something elsewhere.
//!
//! * [`tail`]: what following many streams costs Redis, against following one.
//! * [`ingest`]: NDJSON over HTTP, against `redis-benchmark` with pipelined `XADD` of the same payload.
//! * [`replay`]: a long stream over NDJSON, against a bare `XRANGE` loop.
//! * [`records`]: session records and ephemeral events, against the same writes in a bare pipeline.
//! * [`idle`]: resident memory for each idle Socket.IO client, against Socket.IO on Node.js.
//!
//! Every server is a process of its own ([`servers`], [`peers`]), so that its CPU time can be told apart. The [`client`]
//! is the same for all of them; the tests of the edge use it too.

pub mod client;
pub mod idle;
pub mod ingest;
pub mod peers;
pub mod records;
pub mod replay;
pub mod report;
pub mod results;
pub mod servers;
pub mod tail;

/// How much to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// A few seconds in all: shows that the scenario works, measures nothing.
    Smoke,
    /// What the figures in the README are from.
    Full,
}

/// Data of an event in every scenario: JSON of 200 bytes.
pub fn payload() -> Vec<u8> {
    let mut json = br#"{"method":"GET","path":"/v1/documents/42","status":200,"note":""#.to_vec();
    json.resize(198, b'x');
    json.extend_from_slice(b"\"}");
    json
}
