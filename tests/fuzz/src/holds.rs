//! What repairing a message of changes needs: to take its changes out as the receiver does, and put them back.

use std::collections::BTreeMap;
use std::convert::Infallible;

use fieldbook_core::ids::{ChangeHash, RecordId};
use fieldbook_core::protocol::transcode::{Known, Room, ToPack, Unpacked, pack, unpack};

use crate::cbor;

/// A receiver, and what earlier messages of the same input brought it.
pub struct Holds<'a> {
    /// The record whose id begins so.
    pub record: &'a mut dyn FnMut(&[u8; 6]) -> Option<RecordId>,
    /// The creation of the record of the batch's change of this number.
    pub creation: &'a mut dyn FnMut(usize, &RecordId) -> Option<ChangeHash>,
    /// The record's change whose hash begins so.
    pub change: &'a mut dyn FnMut(&RecordId, &[u8; 4]) -> Option<ChangeHash>,
    /// Changes of earlier messages.
    pub earlier: &'a mut BTreeMap<RecordId, Vec<ChangeHash>>,
}

impl Known for Holds<'_> {
    type Error = Infallible;

    fn record(&mut self, prefix: &[u8; 6]) -> Result<Option<RecordId>, Infallible> {
        let earlier = self.earlier.keys().find(|record| record.0.starts_with(prefix)).copied();
        Ok((self.record)(prefix).or(earlier))
    }

    fn creation(&mut self, at: usize, record: &RecordId) -> Result<Option<ChangeHash>, Infallible> {
        Ok((self.creation)(at, record))
    }

    fn change(&mut self, record: &RecordId, prefix: &[u8; 4]) -> Result<Option<ChangeHash>, Infallible> {
        let earlier = self.earlier.get(record).into_iter().flatten().find(|hash| hash.0.starts_with(prefix)).copied();
        Ok((self.change)(record, prefix).or(earlier))
    }
}

/// The changes of a batch, and the batch itself: written anew, in full, where a raw change has a wrong checksum.
pub fn resealed(packed: &[u8], count: usize, holds: &mut Holds<'_>) -> Option<(Vec<Unpacked>, Vec<u8>)> {
    let mut changes = unpack(packed, count, &mut Room::default(), holds).ok()?;
    let mut bytes = packed.to_vec();
    if changes.iter().any(|change| change.hash.is_none()) {
        for change in &mut changes {
            change.bytes = cbor::reseal(&change.bytes);
            change.hash = fieldbook_core::sync::change_hash(&change.bytes);
        }
        let send: Vec<ToPack<'_>> = changes
            .iter()
            .map(|change| ToPack { record: change.record, known: false, creation: None, bytes: &change.bytes })
            .collect();
        bytes = pack(&send, true).bytes;
    }
    for change in &changes {
        holds.earlier.entry(change.record).or_default().extend(change.hash);
    }
    Some((changes, bytes))
}
