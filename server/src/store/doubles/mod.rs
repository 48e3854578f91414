//! Records that seem to be about the same person.

mod pages;

use std::collections::BTreeMap;

use fieldbook_core::ids::{ChangeHash, RecordId, UserId};

pub use pages::{
    ApartPair, DoubleDecision, DoubleDecisions, DoubleField, DoublePage, DoubleRecord, DoubleRow, DoublesList,
    DoublesQuery,
};

use super::{Problem, Store, StoreError, UserRow};

fn not_yet<T>() -> Result<T, StoreError> {
    Err(Problem::new("address_not_here").into())
}

#[allow(missing_docs, reason = "shapes first")]
impl Store {
    pub fn doubles(&self, _: UserId, _: &DoublesQuery) -> Result<DoublesList, StoreError> {
        not_yet()
    }
    pub fn double_page(&self, _: UserId, _: &str, _: &str) -> Result<DoublePage, StoreError> {
        not_yet()
    }
    pub fn confirm_double(
        &self,
        _: &UserRow,
        _: &str,
        _: RecordId,
        _: &[RecordId],
        _: &BTreeMap<RecordId, Vec<ChangeHash>>,
        _: &str,
    ) -> Result<(), StoreError> {
        not_yet()
    }
    pub fn reject_double(&self, _: &UserRow, _: &str, _: &[RecordId]) -> Result<(), StoreError> {
        not_yet()
    }
    pub fn doubles_decided(&self, _: UserId, _: Option<&str>, _: Option<i64>) -> Result<DoubleDecisions, StoreError> {
        not_yet()
    }
    pub fn undo_double(&self, _: &UserRow, _: i64) -> Result<(), StoreError> {
        not_yet()
    }
}
