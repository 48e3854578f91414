//! Sync reports.

mod pages;

use fieldbook_core::ids::UserId;

pub use pages::{ExchangeList, ExchangePage, ExchangeRecord, ExchangeRow, ExchangesQuery};

use super::{Problem, Store, StoreError};

#[allow(missing_docs, reason = "shapes first")]
impl Store {
    pub fn exchanges(&self, _: UserId, _: &ExchangesQuery) -> Result<ExchangeList, StoreError> {
        Err(Problem::new("address_not_here").into())
    }
    pub fn exchange(&self, _: UserId, _: i64) -> Result<ExchangePage, StoreError> {
        Err(Problem::new("address_not_here").into())
    }
}
