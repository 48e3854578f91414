//! What tests, benchmarks, the headless phone and the demo share.

pub mod bench;
pub mod demo;
pub mod hostile;
pub mod meter;
pub mod phone;
pub mod postgres;
pub mod proxy;
pub mod simulation;
pub mod workload;
