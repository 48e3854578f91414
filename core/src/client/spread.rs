//! Waits that are not the same for all: phones that lost the server in one moment do not come back in one.

use crate::ports::Random;

/// Between three quarters and all of `ms`.
pub(super) fn shortened(ms: u64, random: &dyn Random) -> u64 {
    ms - part(ms / 4, random)
}

/// Between all of `ms` and a quarter more: for a time that the server named, which nobody undercuts.
pub(super) fn lengthened(ms: u64, random: &dyn Random) -> u64 {
    ms.saturating_add(part(ms / 4, random))
}

/// Anything from nothing to `most`.
fn part(most: u64, random: &dyn Random) -> u64 {
    let mut drawn = [0; 8];
    random.fill(&mut drawn);
    u64::from_le_bytes(drawn) % (most + 1)
}
