//! See `edge::engineio::fuzz::payload`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| edge::engineio::fuzz::payload(bytes));
