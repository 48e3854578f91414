//! Fuzz targets for everything that reads bytes from outside (docs/TESTING.md, "Fuzzing").
//!
//! A [`Target`] turns any bytes into a call of the product, and holds what the call cost against named limits. Its
//! mutator knows the structure, so that inputs get past the first gate: lengths fit, checksums, hashes and signatures
//! are repaired. `main.rs` drives the targets with libFuzzer; `tests/replay.rs` plays every input that ever broke one.

// A panic is how a target says what it found.
#![allow(clippy::panic)]

mod answer;
mod bytes;
mod cbor;
mod change;
mod document;
mod drafts;
mod fixture;
mod forms;
mod frames;
mod holds;
#[path = "../../src/hostile.rs"]
#[allow(dead_code)]
mod hostile;
mod json;
mod links;
mod memory;
mod messages;
mod meter;
mod request;
mod segment;
mod sheets;
mod transcode;
mod workbook;
mod zip;

pub use hostile::Dice;
pub use meter::{Cost, Heap, Limits, Meter};

/// One thing that reads bytes from outside.
pub struct Target {
    /// Its name: of its corpus, its crashers and its line in the table.
    pub name: &'static str,
    /// What one input may cost.
    pub limits: Limits,
    /// Plays one input; panics are findings.
    pub run: fn(&[u8], &mut Meter),
    /// Changes an input within its structure.
    pub mutate: fn(&mut Vec<u8>, &mut Dice),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Every target.
pub const TARGETS: &[Target] = &[
    frames::TARGET,
    messages::TARGET,
    request::TARGET,
    answer::TARGET,
    segment::TARGET,
    change::TARGET,
    transcode::TARGET,
    document::TARGET,
    forms::TARGET,
    drafts::TARGET,
    json::TARGET,
    sheets::TARGET,
    workbook::TARGET,
    links::TARGET,
];

/// The target called `name`.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
