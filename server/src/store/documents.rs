//! Documents that were loaded not long ago, so that a record which changes again is not loaded again.

use std::sync::{Arc, Mutex, PoisonError};

use fieldbook_core::document::Document;
use fieldbook_core::ids::RecordId;
use hashlink::LruCache;

/// Bytes of all documents here, as they are stored uncompressed; in memory they take some three times that.
const BYTES_MAX: usize = 16 * 1024 * 1024;

struct Kept {
    /// Heads of the document, as records' rows hold them.
    heads: Vec<u8>,
    document: Arc<Document>,
    bytes: usize,
}

/// The last used documents, by record. A document is what its heads say, so one that another process has changed
/// meanwhile is not found.
pub(crate) struct Documents {
    kept: Mutex<(LruCache<RecordId, Kept>, usize)>,
}

impl Default for Documents {
    fn default() -> Self {
        Self { kept: Mutex::new((LruCache::new_unbounded(), 0)) }
    }
}

impl Documents {
    /// The document of a record at these heads, and its bytes.
    pub(crate) fn at(&self, record: RecordId, heads: &[u8]) -> Option<(Arc<Document>, usize)> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.0.get(&record)?;
        (found.heads == heads).then(|| (Arc::clone(&found.document), found.bytes))
    }

    /// Keeps a document of so many bytes, and lets the longest unused go.
    pub(crate) fn keep(&self, record: RecordId, heads: Vec<u8>, document: Arc<Document>, bytes: usize) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (cache, total) = &mut *kept;
        let new = Kept { heads, document, bytes };
        *total += bytes;
        if let Some(old) = cache.insert(record, new) {
            *total -= old.bytes;
        }
        while *total > BYTES_MAX
            && let Some((_, old)) = cache.remove_lru()
        {
            *total -= old.bytes;
        }
    }

    /// Forgets a record.
    pub(crate) fn forget(&self, record: RecordId) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = kept.0.remove(&record) {
            kept.1 -= old.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::form;

    #[test]
    fn the_longest_unused_goes_when_there_is_no_room_and_other_heads_are_not_found() {
        let documents = Documents::default();
        let ids = [1, 2, 3].map(|byte| RecordId([byte; 16]));
        let keep = |id: RecordId, heads: &[u8], bytes: usize| {
            let document = Document::create(id, form().definition()).unwrap();
            documents.keep(id, heads.to_vec(), Arc::new(document), bytes);
        };
        keep(ids[0], b"a", BYTES_MAX / 2);
        keep(ids[1], b"b", BYTES_MAX / 2);
        assert!(documents.at(ids[0], b"a").is_some(), "both fit");
        assert!(documents.at(ids[0], b"changed since").is_none());
        keep(ids[2], b"c", 1);
        assert!(documents.at(ids[1], b"b").is_none(), "it was not used the longest");
        assert!(documents.at(ids[0], b"a").is_some() && documents.at(ids[2], b"c").is_some());
        documents.forget(ids[0]);
        assert!(documents.at(ids[0], b"a").is_none());
        keep(ids[1], b"b", BYTES_MAX + 1);
        assert!(documents.at(ids[1], b"b").is_none(), "what is larger than all room is not kept");
        assert_eq!(documents.kept.lock().unwrap().1, 0);
    }
}
