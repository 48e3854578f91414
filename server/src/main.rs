//! `fieldbook-server`: serve, and administer units, users, devices, forms and records.

fn main() {}
