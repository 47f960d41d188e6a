//! See `edge::socketio::fuzz::packet`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| edge::socketio::fuzz::packet(bytes));
