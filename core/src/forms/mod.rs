//! Forms: a kind is data. An XLSForm is compiled into a [`Form`], which knows fields, logic, merge rules and what a
//! screen shows, and runs identically on phone, server and in tests (DESIGN §4).

mod answer;
pub mod catalogue;
pub mod checks;
mod definition;
mod evaluate;
mod form;
mod json;
pub mod limits;
mod logic;
mod path;
mod values;

pub use answer::{Answer, ValueError};
pub use definition::{
    Check, Choice, Field, FieldType, FormDefinition, GroupItem, Labels, Merge, QuestionItem, RepeatItem, Sensitivity,
    SurveyItem,
};
pub use evaluate::{EvalTime, Evaluation, Problem, ProblemKind};
pub use form::{Form, FormError};
pub use path::{FieldPath, PathError};
pub use values::{Edit, Row, Scalar, Values};
