//! Records as automerge documents.
