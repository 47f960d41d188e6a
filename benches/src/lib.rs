//! Measurements of Weir beside what a user would pick instead and beside what bounds it, in one run on one machine: only
//! the ratios mean something elsewhere.
//!
//! A scenario ([`scenarios`]) starts servers as processes of their own ([`servers`]), puts load on them, accounts what
//! every process has used ([`accounts`]), and returns what it found ([`results`]). The [`client`] does all that a
//! Socket.IO client does and is the same for every server; the tests of the edge use it too.

pub mod accounts;
pub mod client;
pub mod load;
pub mod peers;
pub mod report;
pub mod results;
pub mod scenarios;
pub mod servers;

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
