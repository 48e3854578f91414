//! Changes on the wire: column by column across records, without what the receiver can work out, and rebuilt byte for
//! byte. `docs/PROTOCOL.md` §11 is the specification.
//!
//! A batch stands for itself. Its sender reads it again before it goes: a change that would not come back byte for byte
//! travels raw, inside the same batch. What comes out is no more trusted than raw bytes would be: its hash is computed from the rebuilt bytes, and signatures, chains and
//! intake stand behind it.

mod check;
mod columns;
mod pack;
mod tables;
mod unpack;

pub use check::{Packed, pack};
pub use pack::ToPack;
pub use unpack::{Known, UnpackError, Unpacked, unpack};

use super::limits::{EXCHANGE_CHANGE_BYTES_MAX, EXCHANGE_CHANGES_MAX};
use crate::ids::RowId;

/// What one exchange still takes in one direction. Senders hold themselves to it, receivers hold senders to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    changes: usize,
    bytes: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self { changes: EXCHANGE_CHANGES_MAX, bytes: EXCHANGE_CHANGE_BYTES_MAX }
    }
}

impl Room {
    /// For a sender that reads its own batch: it was bounded when it was written.
    fn unbounded() -> Self {
        Self { changes: usize::MAX, bytes: usize::MAX }
    }

    /// So many more changes, and bytes of them as they are rebuilt, may come.
    #[must_use]
    pub fn has(&self, changes: usize, bytes: usize) -> bool {
        changes <= self.changes && bytes <= self.bytes
    }

    /// Takes them into account, as far as they fit.
    pub fn spend(&mut self, changes: usize, bytes: usize) {
        self.changes = self.changes.saturating_sub(changes);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    fn take(&mut self, changes: usize, bytes: usize) -> Result<(), Fault> {
        if !self.has(changes, bytes) {
            return Err(Fault::TooLarge("changes of the exchange"));
        }
        self.spend(changes, bytes);
        Ok(())
    }
}

/// What an operation writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
enum Sort {
    Map = 0,
    Delete = 1,
    Null = 2,
    False = 3,
    True = 4,
    Integer = 5,
    Text = 6,
    Bytes = 7,
    /// A text that is a row's id.
    Row = 8,
}

impl Sort {
    /// Of a shape's code.
    fn of(code: u64) -> Option<Self> {
        let all = [
            Self::Map,
            Self::Delete,
            Self::Null,
            Self::False,
            Self::True,
            Self::Integer,
            Self::Text,
            Self::Bytes,
            Self::Row,
        ];
        all.into_iter().find(|sort| *sort as u64 == code & 15)
    }
}

/// The row that a text names: exactly 16 lower-case hex digits.
fn row_of(text: &str) -> Option<RowId> {
    let canonical = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if canonical { text.parse().ok() } else { None }
}

/// Why a batch is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Malformed(&'static str),
    TooLarge(&'static str),
    Unresolved,
}

const MALFORMED: Fault = Fault::Malformed("a number beyond what it may be");
