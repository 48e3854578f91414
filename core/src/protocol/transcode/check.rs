//! The sender reads what it has written before it sends it: what would not come back byte for byte travels raw.

use std::convert::Infallible;

use super::pack::{Plan, Shortened, ToPack, Written, write};
use super::{Known, Room, unpack};
use crate::ids::{ChangeHash, RecordId};
use crate::protocol::limits::{BATCH_CHANGES_MAX, CHANGE_PREFIX_BYTES, RECORD_PREFIX_BYTES};

/// A batch, ready to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// The columns.
    pub bytes: Vec<u8>,
    /// How many of its changes do not travel raw.
    pub transcoded: usize,
}

/// A batch of at most [`BATCH_CHANGES_MAX`] changes, in order; those beyond are left out, so callers count. With `in_full`
/// every change travels raw under its record's whole id: for a receiver that could not make out what was shortened.
///
/// Every batch is read again here, as a receiver that holds what was shortened reads it. A change that comes out
/// differently travels raw; where that is not enough, all of them do.
#[must_use]
pub fn pack(changes: &[ToPack<'_>], in_full: bool) -> Packed {
    let changes = &changes[..changes.len().min(BATCH_CHANGES_MAX)];
    let mut raw = vec![false; changes.len()];
    for _ in 0..ATTEMPTS {
        if in_full {
            break;
        }
        let written = write(changes, Plan::But(&raw));
        let differing = differing(changes, &written);
        if differing.is_empty() {
            return Packed { bytes: written.bytes, transcoded: written.transcoded };
        }
        differing.into_iter().for_each(|at| raw[at] = true);
    }
    Packed { bytes: write(changes, Plan::InFull).bytes, transcoded: 0 }
}

/// Once as it is, once without the changes that came out differently.
const ATTEMPTS: usize = 2;

/// Which changes do not come back as they were; all, where the batch as a whole does not.
fn differing(changes: &[ToPack<'_>], written: &Written) -> Vec<usize> {
    let mut sent = AsSent { changes, shortened: &written.shortened };
    let mut room = Room::unbounded();
    match unpack(&written.bytes, changes.len(), &mut room, &mut sent) {
        Ok(back) => {
            let same = |at: usize| back[at].record == changes[at].record && back[at].bytes == changes[at].bytes;
            (0..changes.len()).filter(|at| !same(*at)).collect()
        }
        Err(_) => (0..changes.len()).collect(),
    }
}

/// A receiver that holds all that the batch shortens, and nothing else.
struct AsSent<'a> {
    changes: &'a [ToPack<'a>],
    shortened: &'a Shortened,
}

impl Known for AsSent<'_> {
    type Error = Infallible;

    fn record(&mut self, prefix: &[u8; RECORD_PREFIX_BYTES]) -> Result<Option<RecordId>, Infallible> {
        let named = |change: &&ToPack<'_>| change.known && change.record.0.starts_with(prefix);
        Ok(self.changes.iter().find(named).map(|change| change.record))
    }

    fn creation(&mut self, at: usize, _: &RecordId) -> Result<Option<ChangeHash>, Infallible> {
        Ok(self.changes.get(at).and_then(|change| change.creation))
    }

    fn change(
        &mut self,
        record: &RecordId,
        prefix: &[u8; CHANGE_PREFIX_BYTES],
    ) -> Result<Option<ChangeHash>, Infallible> {
        Ok(self.shortened.get(&(*record, *prefix)).copied())
    }
}
