//! A whole world in one thread under one seed: phones, a server, a network, disks and clocks that fail, and what must
//! hold all the same. Phones and server are the product's own code, SQLite included; what is simulated is what lies
//! below it (docs/TESTING.md).

pub mod chance;
mod checks;
mod console;
mod damage;
mod device;
mod disk;
mod ether;
mod far_end;
mod faults;
mod forger;
mod forms;
mod heads;
mod hubs;
mod liar;
mod lists;
mod mirrors;
mod model;
mod moves;
mod net;
mod office;
mod outcome;
mod places;
mod reading;
mod restores;
mod screens;
mod sealed;
mod tasks;
mod township;
mod vfs;
mod work;
mod world;

pub use disk::{Disk, Image, Unsynced};
pub use outcome::Outcome;
pub use world::{Plan, run};

/// When every world begins: 2026-06-01 in Shanghai, milliseconds since 1970 UTC.
pub const START_MS: i64 = 1_780_243_200_000;

/// What went against what must hold, in one line.
pub type Wrong = String;
