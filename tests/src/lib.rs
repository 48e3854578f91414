//! What tests, benchmarks, the headless phone and the demo share.

pub mod hostile;
pub mod workload;
pub mod demo;
pub mod proxy;
