//! Own changes that a township hub holds, and the server not yet.

use super::outbox::stored;
use super::{StoreError, Write};

pub(super) const MARK_HELD: &str = "UPDATE outbox INDEXED BY outbox_stated SET held = 1
  WHERE held = 0 AND state = 1 AND (statement, list_index) <= (?1, ?2) RETURNING record";
pub(super) const MARK_NOT_HELD: &str = "UPDATE outbox INDEXED BY outbox_held SET held = 0
  WHERE held = 1 AND (statement, list_index) > (?1, ?2) RETURNING record";

impl Write<'_> {
    /// A hub has the bodies up to this statement and index. Returns how many changes that says something new of.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn mark_held(&self, through: (u64, u32)) -> Result<u64, StoreError> {
        self.mark(MARK_HELD, (stored(through.0), i64::from(through.1)))
    }

    /// A hub has the bodies up to this statement and index only.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn mark_not_held(&self, beyond: Option<(u64, u32)>) -> Result<u64, StoreError> {
        let beyond = beyond.map_or((0, -1), |(number, index)| (stored(number), i64::from(index)));
        self.mark(MARK_NOT_HELD, beyond)
    }
}
