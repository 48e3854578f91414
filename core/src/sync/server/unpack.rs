//! Takes a message of changes apart: which of a statement's changes they are, and what stands in them.

use super::{ServerLog, error};
use crate::ids::{ChangeHash, RecordId};
use crate::protocol::limits::{BATCH_CHANGES_MAX, CHANGE_PREFIX_BYTES, RECORD_PREFIX_BYTES, STATEMENT_CHANGES_MAX};
use crate::protocol::transcode::{Known, Room, UnpackError, Unpacked, unpack};
use crate::protocol::{ChangesUp, CreatedUnder, ErrorAnswer, ErrorKind, FormRun, StatementUp};
use crate::sync::LogError;

/// Place of each change in its statement's list, and its forms; `None` where the message does not fit together.
pub(super) fn places(message: &ChangesUp) -> Option<(Vec<u32>, Vec<&FormRun>)> {
    let indices = indices(message)?;
    let forms = forms(message, indices.len())?;
    Some((indices, forms))
}

/// Place of each change in its statement's list, ascending.
fn indices(message: &ChangesUp) -> Option<Vec<u32>> {
    let total = message.items.iter().try_fold(0_usize, |sum, (_, count)| sum.checked_add(*count as usize))?;
    if total > BATCH_CHANGES_MAX {
        return None;
    }
    let mut indices: Vec<u32> = Vec::with_capacity(total);
    for (first, count) in &message.items {
        indices.extend(*first..first.checked_add(*count)?);
    }
    indices.is_sorted_by(|a, b| a < b).then_some(indices)
}

/// The forms of each of `count` changes.
fn forms(message: &ChangesUp, count: usize) -> Option<Vec<&FormRun>> {
    let mut forms = Vec::with_capacity(count);
    for run in &message.forms {
        let room = count - forms.len();
        forms.extend(std::iter::repeat_n(run, (run.count as usize).min(room + 1)));
        if forms.len() > count {
            return None;
        }
    }
    (forms.len() == count).then_some(forms)
}

/// Every hash that a statement lists: those that it brings, and those of the bodies that came with it.
pub(super) fn listed(signed: &StatementUp, bodies: &[MadeOut]) -> Option<Vec<ChangeHash>> {
    let length = signed.length as usize;
    if length > STATEMENT_CHANGES_MAX {
        return None;
    }
    let mut hashes = vec![None; length];
    for MadeOut { index, body, .. } in bodies {
        *hashes.get_mut(*index as usize)? = body.hash;
    }
    for (index, hash) in &signed.hashes {
        *hashes.get_mut(*index as usize)? = Some(*hash);
    }
    hashes.into_iter().collect()
}

/// What a device is told of a batch that cannot be made out.
pub(super) fn answer_of(failure: UnpackError<LogError>, in_full: bool) -> ErrorAnswer {
    match failure {
        UnpackError::Malformed(what) => error(ErrorKind::Malformed, format!("transcoded changes: {what}")),
        UnpackError::TooLarge(what) => error(ErrorKind::TooLarge, format!("transcoded changes: {what}")),
        UnpackError::Unresolved if in_full => error(ErrorKind::Malformed, "something is shortened in a full exchange"),
        UnpackError::Unresolved => error(ErrorKind::Unresolved, "something shortened is not here, or not alone"),
        UnpackError::Known(failure) => failure.into(),
    }
}

/// A change made out, with the forms that it was made under.
pub(super) struct MadeOut {
    /// Its place in the statement's list.
    pub(super) index: u32,
    pub(super) body: Unpacked,
    /// Of the record.
    pub(super) created: CreatedUnder,
    /// Form version that the save was made under.
    pub(super) form_version: String,
}

/// The changes of a message.
pub(super) fn made_out(
    log: &mut dyn ServerLog,
    message: &ChangesUp,
    (indices, forms): (Vec<u32>, Vec<&FormRun>),
    room: &mut Room,
) -> Result<Vec<MadeOut>, UnpackError<LogError>> {
    let bodies = unpack(&message.packed, indices.len(), room, &mut ServerKnown { log, forms: &forms })?;
    let one = |((index, form), body): ((u32, &FormRun), Unpacked)| {
        let created = created_under(log, form, &body.record).map_err(UnpackError::Known)?;
        let created = created.ok_or(UnpackError::Unresolved)?;
        let form_version = form.saved_version.as_ref().unwrap_or(&created.version).clone();
        Ok(MadeOut { index, body, created, form_version })
    };
    indices.into_iter().zip(forms.iter().copied()).zip(bodies).map(one).collect()
}

fn created_under(log: &mut dyn ServerLog, form: &FormRun, record: &RecordId) -> Result<Option<CreatedUnder>, LogError> {
    form.created.as_ref().map_or_else(|| log.created_under(record), |created| Ok(Some(created.clone())))
}

/// What the server holds.
struct ServerKnown<'a> {
    log: &'a mut dyn ServerLog,
    /// The forms of each change of the batch.
    forms: &'a [&'a FormRun],
}

impl Known for ServerKnown<'_> {
    type Error = LogError;

    fn record(&mut self, prefix: &[u8; RECORD_PREFIX_BYTES]) -> Result<Option<RecordId>, LogError> {
        self.log.record_by_prefix(prefix)
    }

    fn creation(&mut self, at: usize, record: &RecordId) -> Result<Option<ChangeHash>, LogError> {
        let Some(form) = self.forms.get(at) else { return Ok(None) };
        let Some(created) = created_under(self.log, form, record)? else { return Ok(None) };
        self.log.creation(record, &created.kind, &created.version)
    }

    fn change(
        &mut self,
        record: &RecordId,
        prefix: &[u8; CHANGE_PREFIX_BYTES],
    ) -> Result<Option<ChangeHash>, LogError> {
        self.log.change_by_prefix(record, prefix)
    }
}
