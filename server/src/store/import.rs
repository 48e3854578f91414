//! New records in bulk, made at the server on behalf of a user.

use std::sync::Arc;

use fieldbook_core::access::{FeedId, Role};
use fieldbook_core::forms::{Edit, Form};
use fieldbook_core::ids::RecordId;
use fieldbook_core::intake::Rights;

use super::{Problem, Store, StoreError, UserRow, purge, records, units};

/// Records of one import.
const IMPORT_MAX: usize = 1_000;

/// A record that is not here yet.
#[derive(Debug, Clone)]
pub struct NewRecord {
    /// Its id.
    pub id: RecordId,
    /// What its first save writes.
    pub edits: Vec<Edit>,
}

impl Store {
    /// Makes new records of a kind in a unit, each with one save on behalf of `user`, as if it came from a phone of
    /// theirs: through intake, into the unit's feed, all in one transaction. At most 1,000.
    ///
    /// # Errors
    /// `kind_unknown`, `unit_unknown` (also where `user` may not read the kind), `record_exists`, `request_malformed`, and
    /// what a save may be refused for; else what the database said. Nothing is made then.
    pub fn import(&self, user: &UserRow, kind: &str, unit: &str, new: &[NewRecord]) -> Result<(), StoreError> {
        if new.len() > IMPORT_MAX {
            return Err(Problem::new("request_malformed").with("detail", format!("1 to {IMPORT_MAX} records")).into());
        }
        self.write(|tx| {
            let form = self.current_form(tx, kind)?.ok_or_else(|| Problem::new("kind_unknown").with("kind", kind))?;
            let area = form.definition().area;
            let roles = units::roles_at(tx, user.id, &units::wanted_unit(tx, unit)?.code)?;
            if !roles.iter().any(|role| role.areas().contains(&area)) {
                return Err(Problem::new("unit_unknown").with("unit", unit).into());
            }
            let feed = FeedId { unit: unit.to_owned(), area };
            new.iter().try_for_each(|record| self.import_one(tx, user, &roles, &feed, &form, record))
        })
    }

    fn import_one(
        &self,
        tx: &crate::sql::Connection,
        user: &UserRow,
        roles: &[Role],
        feed: &FeedId,
        form: &Arc<Form>,
        new: &NewRecord,
    ) -> Result<(), StoreError> {
        if purge::is_purged(tx, new.id)? || records::fetch(tx, new.id, None)?.is_some() {
            return Err(Problem::new("record_exists").with("record", new.id).into());
        }
        let mut open = self.new_record(tx, new.id, feed, form.definition(), self.now_ms())?;
        let rights = Rights { roles, last_review: None, reopened: None };
        let heads = open.document.heads();
        let made = self.write_for(tx, user, &mut open, form, &heads, &new.edits, &rights)?;
        if made.is_none() {
            let empty = Problem::new("value_refused").with("detail", format!("{} is empty", new.id));
            return Err(empty.into());
        }
        self.save_record(tx, &mut open)
    }
}
