//! Forms on the desk: versions, uploads tried out as a phone would show them, publishing what was tried.

mod pages;
mod publish;
mod run;
#[cfg(test)]
mod tests;
mod upload;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use fieldbook_core::forms::Form;
use fieldbook_core::ids::UserId;
use hashlink::LruCache;
use sha2::{Digest, Sha256};

pub use pages::{
    FormDifference, FormKind, FormVersion, PreviewPage, PreviewedForm, PublishedForm, RefusedStep, RunChoice, RunPage,
    RunQuestion, SheetNote,
};
pub use run::{RunStep, Tried};

use super::{Problem, Store, StoreError};
use crate::sql::{Connection, OptionalExtension};

/// How long an upload is kept: an hour.
const LIFETIME_MS: i64 = 3600 * 1000;
/// Workbooks that are compiled, and forms that are run, at once; each may take a second and 100 MB.
const AT_ONCE_MAX: usize = 2;
/// Parsed uploads kept in memory.
const PARSED_MAX: usize = 4;

/// What this process has on its desk: how much it works on, and the uploads that were run last.
pub(crate) struct Desk {
    busy: AtomicUsize,
    parsed: Mutex<LruCache<[u8; 32], Arc<Form>>>,
}

impl Default for Desk {
    fn default() -> Self {
        Self { busy: AtomicUsize::new(0), parsed: Mutex::new(LruCache::new(PARSED_MAX)) }
    }
}

/// One of the places at the desk, until it is dropped.
pub(in crate::store) struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Desk {
    /// A place, if there is one.
    pub(in crate::store) fn place(&self) -> Result<Place<'_>, Problem> {
        if self.busy.fetch_add(1, Ordering::SeqCst) >= AT_ONCE_MAX {
            self.busy.fetch_sub(1, Ordering::SeqCst);
            return Err(Problem::new("busy"));
        }
        Ok(Place(&self.busy))
    }
}

/// An upload as it is kept.
struct Kept {
    digest: [u8; 32],
    bytes: Vec<u8>,
    /// Id of the kind's newest form when it was uploaded.
    last: Option<i64>,
}

fn unknown() -> StoreError {
    Problem::new("preview_unknown").into()
}

/// An upload of `user`, whose digest this is in hex.
fn kept(tx: &Connection, user: UserId, digest: &str, now_ms: i64) -> Result<Kept, StoreError> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(digest, &mut bytes).map_err(|_| unknown())?;
    let text = "SELECT bytes, last FROM form_previews WHERE digest = ?1 AND user = ?2 AND uploaded_ms > ?3";
    let mut statement = tx.prepare(text)?;
    let since_ms = now_ms.saturating_sub(LIFETIME_MS);
    let found = statement.query_row((bytes, user.as_bytes(), since_ms), |row| Ok((row.get(0)?, row.get(1)?)));
    let (form, last) = found.optional()?.ok_or_else(unknown)?;
    Ok(Kept { digest: bytes, bytes: form, last })
}

fn digest_of(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

impl Store {
    /// The form of an upload.
    fn parsed(&self, kept: &Kept) -> Result<Arc<Form>, StoreError> {
        let parsed = || self.previews.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = parsed().get(&kept.digest) {
            return Ok(Arc::clone(known));
        }
        let form = Form::from_bytes(&kept.bytes).map_err(|error| StoreError::corrupt("preview", error))?;
        let form = Arc::new(form);
        parsed().insert(kept.digest, Arc::clone(&form));
        Ok(form)
    }
}
