//! Somebody between phones and server who reads and rewrites what they send, frames and their checks included, and signs
//! nothing.

use fieldbook_core::access::{Area, FeedId};
use fieldbook_core::ids::ActorId;
use fieldbook_core::protocol::{Down, StatementUp, Up};
use fieldbook_core::sync::frames::{FrameReader, FrameWriter, Message};

use super::chance::Chance;

/// Window of rewritten frames.
const WINDOW_LOG: u32 = 18;
/// Bytes of a signature.
const SIGNATURE_BYTES: usize = 64;

/// What of an answer was rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forged {
    /// Entries: their bytes, their times, their order, or one is gone.
    Entries,
    /// A signed head.
    Head,
}

pub(super) fn messages<M: Message>(bytes: &[u8]) -> Option<Vec<Vec<M>>> {
    let mut reader = FrameReader::<M>::new();
    reader.push(bytes);
    let mut frames = Vec::new();
    while let Some(frame) = reader.next_frame().ok()? {
        frames.push(frame);
    }
    Some(frames)
}

pub(super) fn written<M: Message>(frames: &[Vec<M>]) -> Option<Vec<u8>> {
    let mut writer = FrameWriter::new(WINDOW_LOG);
    for frame in frames {
        frame.iter().try_for_each(|message| writer.push(message)).ok()?;
        writer.flush().ok()?;
    }
    Some(std::iter::from_fn(|| writer.take()).flatten().collect())
}

/// Where the frames of a request begin: behind the header's length, the header and its signature.
pub(super) fn frames_begin(body: &[u8]) -> Option<usize> {
    let end = body.iter().position(|byte| byte & 0x80 == 0)? + 1;
    let length = body[..end].iter().rev().fold(0, |value, byte| value << 7 | usize::from(byte & 0x7f));
    (end + length + SIGNATURE_BYTES <= body.len()).then_some(end + length + SIGNATURE_BYTES)
}

/// A request in which one statement says something else, and that statement's number; `None` if it carries none.
pub fn request(body: &[u8], chance: &mut Chance) -> Option<(Vec<u8>, u64)> {
    let begin = frames_begin(body)?;
    let mut frames = messages::<Up>(&body[begin..])?;
    let signed = |message| match message {
        &mut Up::Changes(ref mut changes) => changes.signed.as_mut().map(|signed| (changes.statement, signed)),
        _ => None,
    };
    let mut statements: Vec<(u64, &mut StatementUp)> = frames.iter_mut().flatten().filter_map(signed).collect();
    let at = chance.below(statements.len());
    let (number, statement) = statements.get_mut(at)?;
    let number = *number;
    match &mut statement.by {
        Some((_, actor)) => actor.0[chance.below(16)] ^= 1,
        None => {
            statement.by =
                Some((FeedId { unit: "T1".to_owned(), area: Area::Aid }, ActorId([chance.below(256) as u8; 16])))
        }
    }
    let mut forged = body[..begin].to_vec();
    forged.extend(written(&frames)?);
    Some((forged, number))
}

/// An answer in which something is not as the server said it; `None` if it carries nothing to rewrite.
pub fn answer(body: &[u8], chance: &mut Chance) -> Option<(Vec<u8>, Forged)> {
    let mut frames = messages::<Down>(body)?;
    let what = if chance.one_in(4) { Forged::Head } else { Forged::Entries };
    let wanted = |message: &Down| match what {
        Forged::Head => matches!(message, Down::Head { .. }),
        Forged::Entries => matches!(message, Down::Entry { .. } | Down::Changes(_)),
    };
    let places: Vec<(usize, usize)> = frames
        .iter()
        .enumerate()
        .flat_map(|(frame, messages)| messages.iter().enumerate().map(move |(at, message)| (frame, at, message)))
        .filter(|(_, _, message)| wanted(message))
        .map(|(frame, at, _)| (frame, at))
        .collect();
    let (frame, at) = *chance.pick(&places)?;
    match &mut frames[frame][at] {
        Down::Head { after_ms, .. } => *after_ms += 1,
        Down::Entry { entry, .. } if chance.one_in(2) => entry.received_ms += 1,
        Down::Changes(changes) if chance.one_in(2) => changes.times.iter_mut().for_each(|(_, ms)| *ms += 1),
        Down::Changes(changes) if chance.one_in(2) => {
            changes.packed.iter_mut().rev().take(1).for_each(|byte| *byte ^= 1)
        }
        _ if chance.one_in(2) => {
            frames[frame].remove(at);
        }
        _ => swap(&mut frames[frame], at),
    }
    Some((written(&frames)?, what))
}

/// Lets two neighbours of one feed change places, each under the other's position.
fn swap(frame: &mut [Down], at: usize) {
    let Some([Down::Entry { feed: one, entry: first }, Down::Entry { feed: other, entry: second }]) =
        frame.get_mut(at..at + 2)
    else {
        return;
    };
    if one == other {
        std::mem::swap(&mut first.body, &mut second.body);
    }
}
