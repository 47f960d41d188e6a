use crate::fuzz_seeds::run_seeds;

#[test]
fn websockets() {
    run_seeds("websocket", super::websocket);
}

#[test]
fn payloads() {
    run_seeds("engineio_payload", super::payload);
}

#[test]
fn sessions() {
    run_seeds("engineio_session", super::session);
}
