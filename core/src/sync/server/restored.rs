//! A server that lost data: notices it by its own signature beyond its log, and takes back from devices what chains to
//! a head that it signed (docs/PROTOCOL.md §12).

use super::{ServerLog, error};
use crate::access::FeedId;
use crate::protocol::{
    CursorState, Cursors, EntryBody, ErrorAnswer, ErrorKind, LostFeed, Point, Returned, SignedHead, Up,
};
use crate::sync::cursors::CursorSet;
use crate::sync::wire::from_cbor;
use crate::sync::{LogError, chain, change_hash, signing};

/// Feeds of one device that are looked at in one answer; the others wait for the next.
const LOST_FEEDS_MAX: usize = 50;
/// Missing entries of a feed that are named at once.
const WANTED_MAX: usize = 20;

/// What the server knows of an entry that is not in its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReturnedState {
    /// It is proved, its content is missing.
    Wanted,
    /// It is here, and what it builds on is not yet.
    Staged,
    /// It was taken back, in the present epoch.
    Taken,
}

/// Does the log hold what a device has seen up to here? Epochs follow each other in one chain.
pub(super) fn fits(log: &mut dyn ServerLog, feed: &FeedId, position: u64, chain: &[u8; 32]) -> Result<bool, LogError> {
    Ok(position == 0 || log.chain_at(feed, position)?.as_ref() == Some(chain))
}

/// May changes of a device with these cursors be taken now? Not if they may build on what the log lost.
pub(super) fn takes_uploads(
    log: &mut dyn ServerLog,
    device: &crate::ids::DeviceId,
    cursors: &Cursors,
) -> Result<bool, LogError> {
    match cursors {
        Cursors::Digest(digest) => {
            let sets = log.cursor_sets(device)?;
            Ok(sets.iter().filter_map(|set| from_cbor::<CursorSet>(set)).any(|set| set.digest() == *digest))
        }
        Cursors::Full { cursors, .. } => {
            for cursor in cursors {
                if !fits(log, &cursor.feed, cursor.position, &cursor.chain)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
    }
}

/// The feeds in which the device has seen more than the log holds.
pub(super) fn lost_feeds(log: &mut dyn ServerLog, cursors: &[CursorState]) -> Result<Vec<LostFeed>, LogError> {
    let mut lost = Vec::new();
    for cursor in cursors {
        if lost.len() < LOST_FEEDS_MAX && !fits(log, &cursor.feed, cursor.position, &cursor.chain)? {
            lost.push(lost_feed(log, cursor)?);
        }
    }
    Ok(lost)
}

fn lost_feed(log: &mut dyn ServerLog, cursor: &CursorState) -> Result<LostFeed, LogError> {
    let feed = cursor.feed.clone();
    let tip = log.heads(std::slice::from_ref(&feed))?.first().map_or(0, |head| head.position);
    let mut points = Vec::new();
    for position in steps(tip.min(cursor.position)) {
        if let Some(chain) = log.chain_at(&feed, position)? {
            points.push(Point { position, chain });
        }
    }
    let mut held = Vec::new();
    if matches!(log.returned(&feed, &cursor.chain)?, Some(ReturnedState::Staged | ReturnedState::Taken)) {
        held.push(Point { position: cursor.position, chain: cursor.chain });
    }
    held.extend(log.given_back(&feed, cursor.position)?);
    let wanted = log.wanted(&feed, WANTED_MAX)?;
    Ok(LostFeed { feed, log: points, held, wanted })
}

/// From `top` downwards in steps that double, above 0.
fn steps(top: u64) -> impl Iterator<Item = u64> {
    let below = (0..u64::BITS).map_while(move |power| top.checked_sub(1 << power));
    std::iter::once(top).chain(below).filter(|position| *position > 0)
}

/// Takes a head that this server signed: the proof that its log was longer once.
pub(super) fn take_head(log: &mut dyn ServerLog, server_key: &[u8; 32], head: &SignedHead) -> Result<(), ErrorAnswer> {
    if head.log != log.log_id()? || !signing::verify_head(server_key, head) {
        return Err(error(ErrorKind::Malformed, "a head that this server did not sign"));
    }
    if fits(log, &head.feed, head.position, &head.chain)? || log.returned(&head.feed, &head.chain)?.is_some() {
        return Ok(());
    }
    let epoch = log.heads(std::slice::from_ref(&head.feed))?.first().map_or(0, |own| own.epoch);
    if head.epoch >= epoch {
        log.begin_epoch(head.epoch)?;
    }
    Ok(log.put_wanted(&head.feed, &Point { position: head.position, chain: head.chain })?)
}

/// Takes heads and entries given back, and what is whole then, in one transaction.
pub(super) fn take_all(log: &mut dyn ServerLog, server_key: &[u8; 32], messages: Vec<Up>) -> Result<(), ErrorAnswer> {
    log.begin()?;
    let mut complete = false;
    let taken = messages.into_iter().try_for_each(|message| match message {
        Up::Head(head) => take_head(log, server_key, &head),
        Up::Returned(entry) => take_returned(log, &entry).map(|whole| complete |= whole),
        _ => Err(error(ErrorKind::Malformed, "neither a head nor an entry given back")),
    });
    let whole = match taken {
        Ok(()) if complete => log.take_back().map_err(ErrorAnswer::from),
        other => other,
    };
    match whole {
        Ok(()) => Ok(log.commit()?),
        Err(answer) => {
            log.rollback();
            Err(answer)
        }
    }
}

/// Takes an entry given back. True if everything below it is here too.
pub(super) fn take_returned(log: &mut dyn ServerLog, entry: &Returned) -> Result<bool, ErrorAnswer> {
    let malformed = |detail: &str| error(ErrorKind::Malformed, format!("an entry given back {detail}"));
    let leaf = match &entry.body {
        EntryBody::Change { first: Some(first), bytes, .. } => {
            let hash = change_hash(bytes).ok_or_else(|| malformed("is no change"))?;
            chain::change_leaf(&first.salt, &hash)
        }
        body => chain::body_leaf(body).ok_or_else(|| malformed("has no leaf"))?,
    };
    let reached = chain::next(&entry.previous, entry.position, entry.received_ms, &leaf);
    match log.returned(&entry.feed, &reached)? {
        // Not proved, or in the log already: given for an earlier answer than the last. The next one says what is wanted.
        None => return Ok(false),
        Some(ReturnedState::Wanted) => log.put_returned(&reached, entry)?,
        Some(ReturnedState::Staged | ReturnedState::Taken) => {}
    }
    let below = Point { position: entry.position - 1, chain: entry.previous };
    if fits(log, &entry.feed, below.position, &below.chain)? {
        return Ok(true);
    }
    if log.returned(&entry.feed, &below.chain)?.is_none() {
        log.put_wanted(&entry.feed, &below)?;
        return Ok(false);
    }
    Ok(log.wanted(&entry.feed, 1)?.is_empty())
}
