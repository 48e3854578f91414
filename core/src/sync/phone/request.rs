//! Builds a request: new statements, header, and the frames that go up.

use minicbor::bytes::ByteArray;

use super::state::{SyncState, transact};
use super::{PhoneIdentity, PhoneLog, StoredStatement, Unstated};
use crate::access::FeedId;
use crate::ids::{ActorId, ChangeHash};
use crate::protocol::limits::{
    BATCH_BYTES_TARGET, FORMS_WANTED_MAX, PROTOCOL_VERSION, SEGMENTS_OFFERED_MAX, STATEMENT_CHANGES_TARGET,
};
use crate::protocol::{CursorState, Cursors, RequestHeader, Statement};
use crate::sync::LogError;
use crate::sync::cursors::{CursorPoint, CursorSet};
use crate::sync::signing::{self, Signer};
use crate::sync::wire::{put_varint, to_cbor};

/// New changes that are stated in one transaction; the rest waits for the next exchange.
const STATED_AT_ONCE: usize = 4 * STATEMENT_CHANGES_TARGET;

/// A request body, ready to send: the header, then each frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Length, header and signature.
    pub header: Vec<u8>,
    /// Frames in order; may be empty.
    pub frames: Vec<Vec<u8>>,
}

impl Request {
    /// All of it in one piece.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let mut body = self.header.clone();
        for frame in &self.frames {
            body.extend_from_slice(frame);
        }
        body
    }

    /// Bytes of all of it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.header.len() + self.frames.iter().map(Vec::len).sum::<usize>()
    }

    /// Never true: there is always a header.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }
}

/// The cursors as they are now.
pub(super) fn cursor_set(identity: &PhoneIdentity, registry: u64, feeds: &[super::FollowedFeed]) -> CursorSet {
    let point = |feed: &super::FollowedFeed| CursorPoint {
        feed: feed.feed.clone(),
        epoch: feed.epoch,
        position: feed.position,
        chain: feed.chain,
    };
    CursorSet { log: identity.log, registry, cursors: feeds.iter().map(point).collect() }
}

/// Header bytes as they are sent: length, CBOR, signature.
pub(in crate::sync) fn header(signer: &dyn Signer, header: &RequestHeader) -> Vec<u8> {
    let cbor = to_cbor(header);
    let signature = signing::sign(signer, signing::REQUEST, &cbor);
    let mut bytes = Vec::with_capacity(cbor.len() + 68);
    put_varint(&mut bytes, cbor.len() as u64);
    bytes.extend_from_slice(&cbor);
    bytes.extend_from_slice(&signature);
    bytes
}

/// What the request says of the cursors: their digest where the server confirmed exactly these, else all.
pub(super) fn cursors(
    identity: &PhoneIdentity,
    state: &SyncState,
    feeds: &[super::FollowedFeed],
    digest: [u8; 16],
) -> Cursors {
    let confirmed = state.digest.is_some_and(|confirmed| *confirmed == digest);
    if confirmed && !state.open && !state.in_full {
        return Cursors::Digest(digest);
    }
    Cursors::Full { log: Some(identity.log), registry: state.registry, cursors: all_cursors(feeds) }
}

/// Each feed's cursor, in the order of the feeds.
pub(in crate::sync) fn all_cursors(feeds: &[super::FollowedFeed]) -> Vec<CursorState> {
    let full = |feed: &super::FollowedFeed| CursorState {
        feed: feed.feed.clone(),
        epoch: feed.epoch,
        position: feed.position,
        chain: feed.chain,
        signed: feed.head_position == feed.position,
    };
    feeds.iter().map(full).collect()
}

/// The segments of which something is here.
pub(super) fn segments(log: &mut dyn PhoneLog) -> Result<Option<Vec<ByteArray<8>>>, LogError> {
    let kept = log.kept_segments()?;
    let begin = |name: &[u8; 32]| name.first_chunk::<8>().map(|begin| ByteArray::from(*begin));
    let names: Vec<_> = kept.iter().take(SEGMENTS_OFFERED_MAX).filter_map(begin).collect();
    Ok((!names.is_empty()).then_some(names))
}

/// The forms that are still to come.
pub(super) fn forms(state: &SyncState) -> Option<Vec<(String, String)>> {
    let wanted = state.forms.iter().take(FORMS_WANTED_MAX);
    let wanted: Vec<_> = wanted.map(|form| (form.kind.clone(), form.version.clone())).collect();
    (!wanted.is_empty()).then_some(wanted)
}

/// States what was saved since the last exchange: one statement a feed and actor, stored before anything is sent.
pub(super) fn state_changes(
    log: &mut dyn PhoneLog,
    identity: &PhoneIdentity,
    signer: &dyn Signer,
) -> Result<(), LogError> {
    let unstated = log.unstated(STATED_AT_ONCE)?;
    if unstated.is_empty() {
        return Ok(());
    }
    transact(log, |log| {
        let (mut number, mut previous) = log.last_statement()?;
        for (feed, actor, changes) in groups(unstated) {
            for changes in statements(&changes) {
                number += 1;
                let statement = Statement {
                    version: PROTOCOL_VERSION,
                    device: identity.device,
                    number,
                    previous,
                    feed: feed.clone(),
                    actor,
                    user: identity.user,
                    changes: changes.clone(),
                };
                let bytes = to_cbor(&statement);
                let signature = signing::sign(signer, signing::STATEMENT, &bytes);
                previous = signing::statement_hash(&bytes);
                let stored = StoredStatement { number, hash: previous, bytes, signature };
                log.put_statement(&stored, &changes)?;
            }
        }
        Ok(())
    })
}

/// The changes of one feed and actor, cut so that a statement and its bodies mostly fit one frame: their hashes then need
/// not be sent.
fn statements(changes: &[(ChangeHash, usize)]) -> Vec<Vec<ChangeHash>> {
    let mut statements: Vec<Vec<ChangeHash>> = Vec::new();
    let mut bytes = 0;
    for (hash, size) in changes {
        match statements.last_mut() {
            Some(last) if last.len() < STATEMENT_CHANGES_TARGET && bytes < BATCH_BYTES_TARGET => last.push(*hash),
            _ => {
                statements.push(vec![*hash]);
                bytes = 0;
            }
        }
        bytes += size;
    }
    statements
}

/// The changes of a feed and an actor, each with its bytes' length.
type Group = (FeedId, ActorId, Vec<(ChangeHash, usize)>);

/// By feed and actor, in the order in which each first appears; within one, in the order of saving. A record is in one
/// feed, and an older actor comes before a newer one: causes stay before effects.
fn groups(unstated: Vec<Unstated>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for change in unstated {
        let sized = (change.hash, change.size);
        match groups.iter_mut().find(|(feed, actor, _)| *feed == change.feed && *actor == change.actor) {
            Some((_, _, changes)) => changes.push(sized),
            None => groups.push((change.feed, change.actor, vec![sized])),
        }
    }
    groups
}
