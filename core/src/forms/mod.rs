//! Forms: a kind is data. An XLSForm is compiled into a [`Form`], which knows fields, logic, merge rules and what a
//! screen shows, and runs identically on phone, server and in tests (DESIGN §4).

mod definition;
mod path;
mod values;

pub use definition::{
    Check, Choice, Field, FieldType, FormDefinition, GroupItem, Labels, Merge, QuestionItem, RepeatItem, Sensitivity,
    SurveyItem,
};
pub use path::{FieldPath, PathError};
pub use values::{Edit, Row, Scalar, Values};
