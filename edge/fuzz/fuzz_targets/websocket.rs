//! See `edge::engineio::fuzz::websocket`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| edge::engineio::fuzz::websocket(bytes));
