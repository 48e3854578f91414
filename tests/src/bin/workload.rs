//! `fieldbook-workload --seed S --n N --out DIR` writes the measured workload as NDJSON.

fn main() {}
