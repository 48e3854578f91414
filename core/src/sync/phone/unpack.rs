//! Takes a message of changes apart: which entries they are, and what stands in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::apply::Stop;
use super::{OutboxChange, PhoneLog, SyncError};
use crate::document::Document;
use crate::forms::FormDefinition;
use crate::ids::{ChangeHash, RecordId};
use crate::protocol::limits::{BATCH_CHANGES_MAX, CHANGE_PREFIX_BYTES, RECORD_PREFIX_BYTES};
use crate::protocol::transcode::{self, Known, Room, UnpackError, Unpacked};
use crate::protocol::{ChangesDown, RecordStart};
use crate::sync::LogError;
use crate::sync::frames::FrameError;

/// One change of a feed, as it came down.
pub(in crate::sync) struct Arrived {
    /// Index of the feed.
    pub(in crate::sync) feed: u32,
    pub(in crate::sync) position: u64,
    pub(in crate::sync) received_ms: i64,
    pub(in crate::sync) record: RecordId,
    /// With the record's first entry in this feed.
    pub(in crate::sync) first: Option<RecordStart>,
    pub(in crate::sync) hash: ChangeHash,
    pub(in crate::sync) bytes: Vec<u8>,
    /// This device made it.
    pub(super) own: bool,
    /// It travelled transcoded.
    pub(super) transcoded: bool,
}

/// What the receiver holds of what a message only names.
pub(in crate::sync) trait Names {
    /// An own change, by the statement that lists it and its place there.
    fn own_change(&mut self, statement: u64, index: u32) -> Result<Option<OutboxChange>, LogError>;
    /// The one record whose id begins so.
    fn record_by_prefix(&mut self, prefix: &[u8; RECORD_PREFIX_BYTES]) -> Result<Option<RecordId>, LogError>;
    /// The one change of the record whose hash begins so.
    fn change_by_prefix(
        &mut self,
        record: &RecordId,
        prefix: &[u8; CHANGE_PREFIX_BYTES],
    ) -> Result<Option<ChangeHash>, LogError>;
    /// The form that a record was created under.
    fn created_form(&mut self, start: &RecordStart) -> Result<Option<Arc<FormDefinition>>, LogError>;
}

/// The change whose hash begins so, of a record whose document is in hand and may not be stored yet.
pub(super) type HeldChange<'h> = dyn Fn(&RecordId, &[u8]) -> Option<ChangeHash> + 'h;

/// What a phone holds.
pub(super) struct PhoneNames<'a> {
    pub(super) log: &'a mut dyn PhoneLog,
    pub(super) held: &'a HeldChange<'a>,
}

impl Names for PhoneNames<'_> {
    fn own_change(&mut self, statement: u64, index: u32) -> Result<Option<OutboxChange>, LogError> {
        self.log.own_change(statement, index)
    }

    fn record_by_prefix(&mut self, prefix: &[u8; RECORD_PREFIX_BYTES]) -> Result<Option<RecordId>, LogError> {
        self.log.record_by_prefix(prefix)
    }

    fn change_by_prefix(
        &mut self,
        record: &RecordId,
        prefix: &[u8; CHANGE_PREFIX_BYTES],
    ) -> Result<Option<ChangeHash>, LogError> {
        match (self.held)(record, prefix) {
            Some(hash) => Ok(Some(hash)),
            None => self.log.change_by_prefix(record, prefix),
        }
    }

    fn created_form(&mut self, start: &RecordStart) -> Result<Option<Arc<FormDefinition>>, LogError> {
        self.log.form(&start.kind, Some(&start.created_version))
    }
}

const GARBLED: SyncError = SyncError::Protocol("a message of changes does not fit together");

/// The entries of a message, in order. Nothing of them is checked but that they come out as the server says.
pub(in crate::sync) fn unpack(
    names: &mut dyn Names,
    room: &mut Room,
    in_full: bool,
    message: ChangesDown,
) -> Result<Vec<Arrived>, Stop> {
    let ChangesDown { runs, times, starts, own, check, packed } = message;
    let places = places(&runs, &times)?;
    let mut starts: BTreeMap<u32, RecordStart> = starts.into_iter().collect();
    let mut found: Vec<Option<Change>> = places.iter().map(|_| None).collect();
    for (at, statement, index, count) in own {
        for n in 0..count.min(BATCH_CHANGES_MAX as u32) {
            let own = index.checked_add(n).map(|index| names.own_change(statement, index)).transpose()?.flatten();
            let own = own.ok_or(Stop::InFullWanted)?;
            let spot = found.get_mut((at as usize).saturating_add(n as usize)).ok_or(GARBLED)?;
            *spot = Some(Change { record: own.record, hash: own.hash, bytes: own.bytes, own: true, transcoded: false });
        }
    }
    let others: Vec<u32> = (0..).zip(&found).filter(|(_, own)| own.is_none()).map(|(at, _)| at).collect();
    let mut known = NamesKnown { names, starts: &starts, others: &others };
    let unpacked = transcode::unpack(&packed, others.len(), room, &mut known);
    let unpacked = unpacked.map_err(|failure| stop(failure, in_full))?;
    for (at, change) in others.iter().zip(unpacked) {
        let spot = found.get_mut(*at as usize).ok_or(GARBLED)?;
        *spot = Some(Change::of(change).ok_or(GARBLED)?);
    }
    let mut arrived = Vec::with_capacity(places.len());
    let mut hashes = Sha256::new();
    for (((feed, position, received_ms), change), at) in places.into_iter().zip(found).zip(0..) {
        let Change { record, hash, bytes, own, transcoded } = change.ok_or(GARBLED)?;
        hashes.update(hash.as_bytes());
        let first = starts.remove(&at);
        arrived.push(Arrived { feed, position, received_ms, record, first, hash, bytes, own, transcoded });
    }
    if !hashes.finalize().starts_with(&check) {
        return Err(if in_full { GARBLED.into() } else { Stop::InFullWanted });
    }
    Ok(arrived)
}

/// What stands in one entry.
struct Change {
    record: RecordId,
    hash: ChangeHash,
    bytes: Vec<u8>,
    own: bool,
    transcoded: bool,
}

impl Change {
    fn of(change: Unpacked) -> Option<Self> {
        let Unpacked { record, hash, bytes, transcoded } = change;
        Some(Self { record, hash: hash?, bytes, own: false, transcoded })
    }
}

/// Feed, position and time of receipt of each entry.
fn places(runs: &[(u32, u64, u32)], times: &[(u32, i64)]) -> Result<Vec<(u32, u64, i64)>, Stop> {
    let total: usize = runs.iter().map(|(_, _, count)| *count as usize).sum();
    let timed: usize = times.iter().map(|(count, _)| *count as usize).sum();
    if total > BATCH_CHANGES_MAX || total != timed || runs.len() > total || times.len() > total {
        return Err(GARBLED.into());
    }
    let mut time_ms = 0_i64;
    let times = times.iter().flat_map(|(count, delta)| (0..*count).map(|_| *delta));
    let entries = runs.iter().flat_map(|(feed, position, count)| (0..*count).map(|n| (*feed, *position, n)));
    let mut places = Vec::with_capacity(total);
    for ((feed, position, n), delta) in entries.zip(times) {
        time_ms = time_ms.checked_add(delta).ok_or(GARBLED)?;
        places.push((feed, position.checked_add(n.into()).ok_or(GARBLED)?, time_ms));
    }
    Ok(places)
}

fn stop(failure: UnpackError<LogError>, in_full: bool) -> Stop {
    match failure {
        UnpackError::Malformed(what) => FrameError::Garbage(what).into(),
        UnpackError::TooLarge(what) => FrameError::TooLarge(what).into(),
        UnpackError::Unresolved if in_full => GARBLED.into(),
        UnpackError::Unresolved => Stop::InFullWanted,
        UnpackError::Known(failure) => failure.into(),
    }
}

/// The same for the transcoder, which counts the changes of a batch.
struct NamesKnown<'a> {
    names: &'a mut dyn Names,
    starts: &'a BTreeMap<u32, RecordStart>,
    /// Which entry each change of the batch is.
    others: &'a [u32],
}

impl Known for NamesKnown<'_> {
    type Error = LogError;

    fn record(&mut self, prefix: &[u8; RECORD_PREFIX_BYTES]) -> Result<Option<RecordId>, LogError> {
        self.names.record_by_prefix(prefix)
    }

    fn creation(&mut self, at: usize, record: &RecordId) -> Result<Option<ChangeHash>, LogError> {
        let Some(start) = self.others.get(at).and_then(|at| self.starts.get(at)) else { return Ok(None) };
        let form = self.names.created_form(start)?;
        Ok(form.and_then(|form| Document::creation_of(*record, &form).ok()))
    }

    fn change(
        &mut self,
        record: &RecordId,
        prefix: &[u8; CHANGE_PREFIX_BYTES],
    ) -> Result<Option<ChangeHash>, LogError> {
        self.names.change_by_prefix(record, prefix)
    }
}
