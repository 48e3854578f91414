//! Plays every input that ever broke a target, and the seeds. A process of its own: it counts its memory.

// All of it is test code; clippy's own exception covers only functions marked `#[test]`.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use fieldbook_fuzz::{Dice, Heap, Meter, TARGETS, Target};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const HEAP: Heap = Heap {
    held: || ALLOCATOR.current_usage(),
    peak: || ALLOCATOR.peak_usage(),
    reset: || ALLOCATOR.reset_peak_usage(),
};

/// Mutations of each seed, so that the mutators are run too.
const MUTATIONS: usize = 20;

/// Within its limits, except time: a busy machine without optimisation proves nothing about that.
fn play(target: &Target, name: &str, input: &[u8]) {
    let mut meter = Meter::new(Some(HEAP));
    (target.run)(input, &mut meter);
    if let Some(excess) = meter.cost().excess(&target.limits, false) {
        panic!("{} {name}: {excess}", target.name);
    }
}

fn crashers(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/crashers").join(target.name);
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<(String, Vec<u8>)> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()))
        .collect();
    found.sort();
    found
}

/// One test: what it counts is the memory of the whole process.
#[test]
fn nothing_that_was_found_comes_back() {
    std::panic::set_hook(Box::new(|panic| {
        // The product catches panics of libraries; the rest fails this test anyway.
        if std::env::var_os("FUZZ_LOUD").is_some() {
            eprintln!("{panic}");
        }
    }));
    for target in TARGETS {
        for (name, input) in crashers(target) {
            play(target, &name, &input);
        }
        let mut dice = Dice(1);
        for (number, seed) in (target.seeds)().iter().enumerate() {
            play(target, &format!("seed {number}"), seed);
            for mutation in 0..MUTATIONS {
                let mut input = seed.clone();
                (target.mutate)(&mut input, &mut dice);
                if input.len() <= target.limits.input_bytes {
                    play(target, &format!("seed {number} mutation {mutation}"), &input);
                }
            }
        }
    }
}
