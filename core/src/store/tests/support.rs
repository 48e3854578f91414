//! What the store's tests share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::{PersonEntry, PersonKey, ReadRow, Store, StoreError, SystemDisk, Write};
use crate::access::{Area, FeedId};
use crate::document::{RecordMeta, RecordState};
use crate::ids::{ChangeHash, RecordId};
use crate::ports::Random;

pub const KEY: [u8; 32] = [7; 32];
pub const ID_NUMBER: &str = "632321198805120017";

/// The same bytes in every run.
#[derive(Default)]
pub struct Counted(AtomicU64);

impl Random for Counted {
    fn fill(&self, bytes: &mut [u8]) {
        let n = self.0.fetch_add(1, Ordering::Relaxed);
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = (n as u8).wrapping_mul(31).wrapping_add(at as u8);
        }
    }
}

pub fn open(dir: &std::path::Path) -> Store {
    Store::open(dir, &KEY, &Counted::default(), Arc::new(SystemDisk)).unwrap()
}

pub fn record(n: u64) -> RecordId {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&n.to_be_bytes());
    RecordId(bytes)
}

pub fn hash(n: u64) -> ChangeHash {
    let mut bytes = [0; 32];
    bytes[24..].copy_from_slice(&n.to_be_bytes());
    ChangeHash(bytes)
}

pub fn aid() -> FeedId {
    FeedId { unit: "qh-hn-01".to_owned(), area: Area::Aid }
}

pub fn meta(kind: &str) -> RecordMeta {
    RecordMeta { kind: kind.to_owned(), created_version: "1".to_owned(), feed: aid(), salt: None, moves: 0 }
}

pub fn person(number: &str, title: &str) -> PersonEntry {
    PersonEntry { key: PersonKey::IdNumber(number.to_owned()), path: "id_number".to_owned(), title: title.to_owned() }
}

/// A read row of somebody called `name`.
pub fn row(name: &str, search: &[&str]) -> ReadRow {
    ReadRow {
        state: RecordState::Draft,
        submission: None,
        heads: vec![hash(1)],
        changed_ms: 1_700_000_000_000,
        title: name.to_owned(),
        list: format!("{{\"name\":\"{name}\"}}"),
        answers: format!("{{\"name\":\"{name}\",\"note\":\"{}\"}}", "寒冬送温暖".repeat(40)),
        conflicts: "[]".to_owned(),
        conflict_count: 0,
        problems: "[]".to_owned(),
        problem_count: 0,
        search: std::iter::once(name).chain(search.iter().copied()).map(str::to_owned).collect(),
        persons: search.iter().map(|number| person(number, name)).collect(),
    }
}

pub fn put(write: &Write<'_>, n: u64, name: &str, search: &[&str]) -> Result<(), StoreError> {
    write.put_meta(&record(n), &meta("household"))?;
    write.put_record(&record(n), format!("body of {name}").repeat(100).as_bytes(), &row(name, search))
}
