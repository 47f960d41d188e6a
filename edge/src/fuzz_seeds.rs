//! The seeds of the fuzzers, and small changes of them.

#![allow(clippy::unwrap_used)]

use std::path::Path;

/// All seeds of a fuzzer, in an order of their own.
pub(crate) fn read(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/seeds")
        .join(target);
    let mut seeds: Vec<Vec<u8>> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        .collect();
    seeds.sort();
    assert!(
        seeds.len() >= 5,
        "only {} seeds in {}",
        seeds.len(),
        folder.display()
    );
    seeds
}

/// A seed with a few changes, which may bring in pieces of other seeds.
pub(crate) fn change(seed: &[u8], seeds: &[Vec<u8>], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..random.usize(1..4) {
        let at = random.usize(0..=bytes.len());
        let until = random.usize(at..=bytes.len().min(at + 8));
        let other = &seeds[random.usize(..seeds.len())];
        let piece = random.usize(0..=other.len());
        let piece_end = random.usize(piece..=other.len());
        match random.u8(..5) {
            0 => bytes[at..until].fill_with(|| random.u8(..)),
            1 => bytes[at..until].fill_with(|| random.choice(*b"0159-/,[]{}\"\\: e.").unwrap()),
            2 => drop(bytes.drain(at..until)),
            3 => drop(bytes.splice(at..until, other[piece..piece_end].iter().copied())),
            _ => bytes.truncate(at),
        }
    }
    bytes
}

/// Runs every seed of a fuzzer, and each with many small changes, always the same ones.
pub(crate) fn run_seeds(target: &str, run: fn(&[u8])) {
    let seeds = read(target);
    let mut random = fastrand::Rng::with_seed(3);
    for seed in &seeds {
        run(seed);
        for _ in 0..300 {
            run(&change(seed, &seeds, &mut random));
        }
    }
}
