//! See `edge::socketio::fuzz::connection`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| edge::socketio::fuzz::connection(bytes));
