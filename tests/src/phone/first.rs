//! When a first download shows its first record.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use fieldbook_core::client::{Fieldbook, Progress, SyncListener};
use fieldbook_core::store::ListFilter;

/// Lists a kind while a sync runs until there is a record, as a screen would that waits for one.
pub(super) struct First<'a> {
    book: &'a Fieldbook,
    kind: &'a str,
    /// Hears everything too.
    next: &'a dyn SyncListener,
    started: Instant,
    /// There were records before.
    late: bool,
    seen_s: Mutex<Option<f64>>,
}

impl<'a> First<'a> {
    pub(super) fn new(book: &'a Fieldbook, kind: &'a str, next: &'a dyn SyncListener) -> Self {
        let mut first = Self { book, kind, next, started: Instant::now(), late: false, seen_s: Mutex::new(None) };
        first.late = first.there_is_one();
        first
    }

    fn there_is_one(&self) -> bool {
        // As long as the kind's form is not here, listing is an error.
        self.book.list(self.kind, &ListFilter::default(), None, 1).is_ok_and(|rows| !rows.is_empty())
    }

    fn look(&self) -> Option<f64> {
        let mut seen_s = self.seen_s.lock().unwrap_or_else(PoisonError::into_inner);
        if seen_s.is_none() && !self.late && self.there_is_one() {
            *seen_s = Some(self.started.elapsed().as_secs_f64());
        }
        *seen_s
    }

    /// Seconds from the sync's start to the first record; `None` where there is none, or was one before.
    pub(super) fn seconds(&self) -> Option<f64> {
        self.look()
    }
}

impl SyncListener for First<'_> {
    fn progress(&self, progress: Progress) {
        self.next.progress(progress);
        if progress.changes_received > 0 {
            self.look();
        }
    }
}
