use super::seeds;

/// Runs every seed of a fuzzer, and each with many small changes, always the same ones.
fn run_seeds(target: &str, run: fn(&[u8])) {
    let seeds = seeds::read(target);
    let mut random = fastrand::Rng::with_seed(3);
    for seed in &seeds {
        run(seed);
        for _ in 0..300 {
            run(&seeds::change(seed, &seeds, &mut random));
        }
    }
}

#[test]
fn packets() {
    run_seeds("socketio_packet", super::packet);
}

#[test]
fn connections() {
    run_seeds("socketio_connection", super::connection);
}
