//! Records as automerge documents: deterministic creation, saves at the heads that were read, conflicts as values,
//! history by change (DESIGN §5).

mod types;

pub use types::{
    Conflict, ConflictValue, HistoryEntry, RecordHead, RecordState, ReviewDecision, ReviewMark, TouchedField, state_of,
};
