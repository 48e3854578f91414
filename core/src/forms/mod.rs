//! Forms: a kind is data. An XLSForm is compiled into a [`Form`], which knows fields, logic, merge rules and what a
//! screen shows, and runs identically on phone, server and in tests.

mod answer;
pub mod catalogue;
pub mod checks;
mod compare;
#[cfg(feature = "xlsform")]
mod compile;
mod definition;
mod evaluate;
pub mod faults;
mod form;
#[cfg(feature = "xlsform")]
pub mod generate;
mod json;
pub mod limits;
mod logic;
mod path;
mod person;
mod references;
mod session;
mod values;

pub use answer::{Answer, ValueError};
pub use compare::{Difference, DifferenceKind, differences};
#[cfg(feature = "xlsform")]
pub use compile::{
    Compiled, SheetError, builtin, compile, compile_path, compile_path_with_warnings, compile_sheets,
    compile_with_warnings, first_sheet,
};
pub use definition::{
    Check, Choice, Field, FieldType, FormDefinition, GroupItem, Labels, Merge, QuestionItem, RepeatItem, Sensitivity,
    SurveyItem,
};
pub use evaluate::{EvalTime, Evaluation, Problem, ProblemKind};
pub use faults::{FaultKind, FormFault};
pub use form::{BrokenRule, Form};
pub use path::{FieldPath, PathError};
pub use person::{Identity, Person};
pub use session::{DraftError, FormSession, OfferedChoice, Question, QuestionKind};
pub use values::{Edit, Row, Scalar, Values};
