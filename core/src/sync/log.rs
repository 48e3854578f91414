//! What both stores may answer.

/// A store that could not do what it was asked; the open transaction is rolled back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store failed: {detail}")]
pub struct LogError {
    /// What kind of failure, for what to do next.
    pub kind: LogErrorKind,
    /// What happened, without personal data.
    pub detail: String,
}

/// Stable kinds of [`LogError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogErrorKind {
    /// No space left: nothing was stored.
    Full,
    /// The storage cannot be read or written.
    Storage,
    /// The store is damaged.
    Damaged,
    /// Anything else: a mistake of this program.
    Other,
}

impl LogError {
    /// A failure that is neither a full disk nor damage.
    #[must_use]
    pub fn other(detail: impl Into<String>) -> Self {
        Self { kind: LogErrorKind::Other, detail: detail.into() }
    }

    /// Stored bytes that do not read back: the store is damaged.
    #[must_use]
    pub fn damaged(detail: impl Into<String>) -> Self {
        Self { kind: LogErrorKind::Damaged, detail: detail.into() }
    }
}
