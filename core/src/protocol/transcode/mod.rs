//! Changes on the wire: column by column across records, without what the receiver can work out, and rebuilt byte for
//! byte. `docs/PROTOCOL.md` §4 is the specification.
//!
//! A [`Packer`] writes the batches of one exchange and direction, an [`Unpacker`] reads them in the same order; both
//! remember the same things. A change that would not come back byte for byte travels raw, inside the same batch. What
//! comes out is no more trusted than raw bytes would be: its hash is computed from the rebuilt bytes, and signatures,
//! chains and intake stand behind it.

mod columns;
mod pack;
mod tables;
mod unpack;

pub use pack::{Packed, Packer, ToPack};
pub use unpack::{Known, UnpackError, Unpacked, Unpacker};

use crate::ids::RowId;

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
