//! Values on their way into a statement.

use std::fmt;

use super::cell::{Cell, FromSql};
use super::{Error, Result};

/// A value as both databases know it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Value<'v> {
    /// Nothing.
    Null,
    /// A number, or 0 and 1 for truth.
    Integer(i64),
    /// UTF-8.
    Text(&'v str),
    /// Bytes.
    Blob(&'v [u8]),
}

/// Says what it is and not what it says: drivers print the values of statements when their log is asked for more.
impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("nothing"),
            Self::Integer(_) => f.write_str("a number"),
            Self::Text(text) => write!(f, "text of {} bytes", text.len()),
            Self::Blob(bytes) => write!(f, "{} bytes", bytes.len()),
        }
    }
}

impl rusqlite::ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        use rusqlite::types::{ToSqlOutput, ValueRef};
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// What can be a value of a statement.
pub trait ToSql {
    /// The value.
    ///
    /// # Errors
    /// [`Error::Number`], [`Error::Nul`].
    fn value(&self) -> Result<Value<'_>>;
}

macro_rules! integers {
    ($($of:ty),*) => {
        $(impl ToSql for $of {
            fn value(&self) -> Result<Value<'_>> {
                Ok(Value::Integer(i64::from(*self)))
            }
        })*
    };
}
integers!(bool, u8, u16, i32, u32, i64);

impl ToSql for u64 {
    fn value(&self) -> Result<Value<'_>> {
        i64::try_from(*self).map(Value::Integer).map_err(|_| Error::Number(*self))
    }
}

impl ToSql for usize {
    fn value(&self) -> Result<Value<'_>> {
        i64::try_from(*self).map(Value::Integer).map_err(|_| Error::Number(*self as u64))
    }
}

impl ToSql for str {
    fn value(&self) -> Result<Value<'_>> {
        // PostgreSQL's text has no such character. What one database would refuse the other does not take.
        if self.contains('\0') {
            return Err(Error::Nul);
        }
        Ok(Value::Text(self))
    }
}

impl ToSql for String {
    fn value(&self) -> Result<Value<'_>> {
        self.as_str().value()
    }
}

impl ToSql for [u8] {
    fn value(&self) -> Result<Value<'_>> {
        Ok(Value::Blob(self))
    }
}

impl ToSql for Vec<u8> {
    fn value(&self) -> Result<Value<'_>> {
        Ok(Value::Blob(self))
    }
}

impl<const N: usize> ToSql for [u8; N] {
    fn value(&self) -> Result<Value<'_>> {
        Ok(Value::Blob(self))
    }
}

impl<T: ToSql> ToSql for Option<T> {
    fn value(&self) -> Result<Value<'_>> {
        self.as_ref().map_or(Ok(Value::Null), ToSql::value)
    }
}

impl<T: ToSql + ?Sized> ToSql for &T {
    fn value(&self) -> Result<Value<'_>> {
        (**self).value()
    }
}

impl<T: ToSql + ?Sized> ToSql for Box<T> {
    fn value(&self) -> Result<Value<'_>> {
        (**self).value()
    }
}

/// A value that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// A number.
    Integer(i64),
    /// UTF-8.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

impl ToSql for Stored {
    fn value(&self) -> Result<Value<'_>> {
        Ok(match self {
            Self::Integer(number) => Value::Integer(*number),
            Self::Text(text) => text.value()?,
            Self::Blob(bytes) => Value::Blob(bytes),
        })
    }
}

impl FromSql for Stored {
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        Some(match cell {
            Cell::Null => return None,
            Cell::Integer(number) => Self::Integer(number),
            Cell::Text(text) => Self::Text(text.to_owned()),
            Cell::Blob(bytes) => Self::Blob(bytes.to_vec()),
        })
    }
}

/// The values of a statement, in order.
pub trait Params {
    /// All of them.
    ///
    /// # Errors
    /// As [`ToSql::value`].
    fn values(&self) -> Result<Vec<Value<'_>>>;
}

impl Params for () {
    fn values(&self) -> Result<Vec<Value<'_>>> {
        Ok(Vec::new())
    }
}

impl<T: ToSql> Params for &[T] {
    fn values(&self) -> Result<Vec<Value<'_>>> {
        self.iter().map(ToSql::value).collect()
    }
}

impl<T: ToSql> Params for Vec<T> {
    fn values(&self) -> Result<Vec<Value<'_>>> {
        self.iter().map(ToSql::value).collect()
    }
}

impl<T: ToSql, const N: usize> Params for [T; N] {
    fn values(&self) -> Result<Vec<Value<'_>>> {
        self.iter().map(ToSql::value).collect()
    }
}

macro_rules! tuples {
    ($($name:ident)*; $($at:tt)*) => {
        impl<$($name: ToSql),*> Params for ($($name,)*) {
            fn values(&self) -> Result<Vec<Value<'_>>> {
                Ok(vec![$(self.$at.value()?),*])
            }
        }
    };
}
tuples!(A; 0);
tuples!(A B; 0 1);
tuples!(A B C; 0 1 2);
tuples!(A B C D; 0 1 2 3);
tuples!(A B C D E; 0 1 2 3 4);
tuples!(A B C D E F; 0 1 2 3 4 5);
tuples!(A B C D E F G; 0 1 2 3 4 5 6);
tuples!(A B C D E F G H; 0 1 2 3 4 5 6 7);
tuples!(A B C D E F G H I; 0 1 2 3 4 5 6 7 8);
tuples!(A B C D E F G H I J; 0 1 2 3 4 5 6 7 8 9);
tuples!(A B C D E F G H I J K; 0 1 2 3 4 5 6 7 8 9 10);
tuples!(A B C D E F G H I J K L; 0 1 2 3 4 5 6 7 8 9 10 11);
tuples!(A B C D E F G H I J K L M; 0 1 2 3 4 5 6 7 8 9 10 11 12);
tuples!(A B C D E F G H I J K L M N; 0 1 2 3 4 5 6 7 8 9 10 11 12 13);
tuples!(A B C D E F G H I J K L M N O; 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
tuples!(A B C D E F G H I J K L M N O P; 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
