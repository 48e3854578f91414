//! Fieldbook's core as uniffi objects for Kotlin and Swift. Holds no business logic.

uniffi::setup_scaffolding!("fieldbook");
