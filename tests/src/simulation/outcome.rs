//! How worlds end, in words.

use super::Wrong;

/// How a world ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// What went wrong, if anything.
    pub wrong: Option<Wrong>,
    /// A hash over all that happened.
    pub digest: String,
    /// The last lines of what happened.
    pub trace: Vec<String>,
    /// Phones that it had in the end.
    pub phones: usize,
    /// Texts saved.
    pub saves: usize,
    /// Syncs begun.
    pub syncs: u64,
    /// Crashes, of phones and server.
    pub crashes: u64,
}

impl Outcome {
    /// A world that ended by a panic, which is printed where it happened.
    #[must_use]
    pub fn panicked(seed: u64) -> Self {
        let wrong = Some("a panic".to_owned());
        Self { seed, wrong, digest: String::new(), trace: Vec::new(), phones: 0, saves: 0, syncs: 0, crashes: 0 }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.wrong {
            Some(wrong) => write!(
                f,
                "seed {} fails: {wrong}
  replay: make simulate SEED={}",
                self.seed, self.seed
            ),
            None => write!(f, "seed {} holds ({} saves, {} syncs)", self.seed, self.saves, self.syncs),
        }
    }
}
