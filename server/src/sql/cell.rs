//! What stands in a column of a row.

/// A column's content, as both databases know it.
#[derive(Clone, Copy, Debug)]
pub enum Cell<'r> {
    /// Nothing.
    Null,
    /// A number, or 0 and 1 for truth.
    Integer(i64),
    /// UTF-8.
    Text(&'r str),
    /// Bytes.
    Blob(&'r [u8]),
}

/// What can be read from a column; `None` where something else stands there.
pub trait FromSql: Sized {
    /// What the cell holds, if it is this.
    fn from_cell(cell: Cell<'_>) -> Option<Self>;
}

impl FromSql for i64 {
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        if let Cell::Integer(number) = cell { Some(number) } else { None }
    }
}

macro_rules! integers {
    ($($of:ty),*) => {
        $(impl FromSql for $of {
            fn from_cell(cell: Cell<'_>) -> Option<Self> {
                i64::from_cell(cell)?.try_into().ok()
            }
        })*
    };
}
integers!(u8, u16, i32, u32, u64, usize);

impl FromSql for bool {
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        Some(i64::from_cell(cell)? != 0)
    }
}

impl FromSql for String {
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        if let Cell::Text(text) = cell { Some(text.to_owned()) } else { None }
    }
}

impl FromSql for Vec<u8> {
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        if let Cell::Blob(bytes) = cell { Some(bytes.to_vec()) } else { None }
    }
}

impl<const N: usize> FromSql for [u8; N] {
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        if let Cell::Blob(bytes) = cell { bytes.try_into().ok() } else { None }
    }
}

impl<T: FromSql> FromSql for Option<T> {
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Null => Some(None),
            other => T::from_cell(other).map(Some),
        }
    }
}
