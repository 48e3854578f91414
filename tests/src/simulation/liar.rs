//! A hub that lies: to phones about the server's log and about what it holds, to the server about what phones brought.

use fieldbook_core::protocol::{Down, ErrorAnswer, ErrorKind, Up};

use super::chance::Chance;
use super::forger::{self, Forged, frames_begin, messages, written};

/// What a phone is told that is not so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Entries are other than the server ordered them.
    Entries,
    /// A head that the server did not sign.
    Head,
    /// The hub says to hold more, or less, than it does.
    Holds,
    /// An error that is none.
    Error,
    /// Something that only the server may say.
    ServersWord,
}

impl Lie {
    /// Whether a phone can tell at once. A head is looked at behind the entries that it is over, of which a phone may have
    /// its reasons to take none yet: what it keeps is looked at instead (`heads.rs`).
    #[must_use]
    pub fn must_be_noticed(self) -> bool {
        matches!(self, Self::ServersWord)
    }
}

/// An answer of a hub in which something is not so; `None` if there is nothing to change in it.
pub fn answer(body: &[u8], chance: &mut Chance) -> Option<(Vec<u8>, Lie)> {
    if chance.one_in(2) {
        let (told, what) = forger::answer(body, chance)?;
        return Some((told, if what == Forged::Head { Lie::Head } else { Lie::Entries }));
    }
    let mut frames = messages::<Down>(body)?;
    let first = frames.first_mut()?;
    let Some(Down::Hello { statement, taken, .. }) = first.first_mut() else { return None };
    let what = match chance.below(3) {
        0 => {
            *taken = if chance.one_in(2) { None } else { Some((*statement, 1_000)) };
            Lie::Holds
        }
        1 => {
            first.insert(1, Down::Error(refusal(chance)));
            Lie::Error
        }
        _ => {
            first.insert(1, servers_word(chance));
            Lie::ServersWord
        }
    };
    Some((written(&frames)?, what))
}

fn refusal(chance: &mut Chance) -> ErrorAnswer {
    use ErrorKind::{Forked, LogMismatch, Replayed, UnknownDevice, Unresolved, Version};
    let kind = *chance.pick(&[Forked, LogMismatch, Replayed, UnknownDevice, Unresolved, Version]).unwrap_or(&Forked);
    let counter = (kind == Replayed).then(|| chance.draw() >> chance.below(64));
    ErrorAnswer { kind, detail: "so says the hub".to_owned(), retry_after_ms: None, counter }
}

fn servers_word(chance: &mut Chance) -> Down {
    match chance.below(3) {
        0 => Down::Restored { awaiting: chance.one_in(2), feeds: Vec::new() },
        1 => Down::Done { more: false, digest: None, revoked: Some([7; 64].into()) },
        _ => Down::Feeds { registry: u64::MAX, feeds: Vec::new(), roles: Vec::new(), unit: String::new() },
    }
}

/// A hub's request to the server in which it brings something else than it was given, and what; `None` if it brings
/// nothing.
pub fn request(body: &[u8], chance: &mut Chance) -> Option<(Vec<u8>, &'static str)> {
    if chance.one_in(4) {
        return forger::request(body, chance).map(|(forged, _)| (forged, "a statement says something else"));
    }
    let begin = frames_begin(body)?;
    let mut frames = messages::<Up>(&body[begin..])?;
    let what = match chance.below(3) {
        0 => leave_out(&mut frames, chance)?,
        1 => spoil(&mut frames, chance)?,
        _ => swap(&mut frames)?,
    };
    let mut forged = body[..begin].to_vec();
    forged.extend(written(&frames)?);
    Some((forged, what))
}

fn leave_out(frames: &mut [Vec<Up>], chance: &mut Chance) -> Option<&'static str> {
    let frame = frames.iter_mut().find(|frame| frame.iter().any(|message| matches!(message, Up::Changes(_))))?;
    let places = frame.iter().enumerate().filter(|(_, message)| matches!(message, Up::Changes(_)));
    let places: Vec<usize> = places.map(|(at, _)| at).collect();
    frame.remove(*chance.pick(&places)?);
    Some("changes are left out")
}

fn spoil(frames: &mut [Vec<Up>], chance: &mut Chance) -> Option<&'static str> {
    let changes = frames.iter_mut().flatten().filter_map(|message| match message {
        Up::Changes(changes) => Some(changes),
        _ => None,
    });
    let mut changes: Vec<_> = changes.collect();
    let at = chance.below(changes.len());
    let packed = &mut changes.get_mut(at)?.packed;
    let at = chance.below(packed.len());
    *packed.get_mut(at)? ^= 1 << chance.below(8);
    Some("a bit of a change is flipped")
}

/// Two devices change names.
fn swap(frames: &mut [Vec<Up>]) -> Option<&'static str> {
    let mut names = frames.iter_mut().flatten().filter_map(|message| match message {
        Up::OnBehalf(device) => Some(device),
        _ => None,
    });
    std::mem::swap(names.next()?, names.next()?);
    Some("two devices are taken for each other")
}
