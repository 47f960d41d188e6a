//! See `edge::engineio::fuzz::session`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| edge::engineio::fuzz::session(bytes));
