use crate::fuzz_seeds::run_seeds;

#[test]
fn packets() {
    run_seeds("socketio_packet", super::packet);
}

#[test]
fn connections() {
    run_seeds("socketio_connection", super::connection);
}
