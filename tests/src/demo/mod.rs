//! `make demo`: one visit, two phones, one supervisor, as separate processes on a bad line.

pub mod people;
pub mod report;
pub mod secrets;
pub mod stage;
pub mod story;
pub mod supervisor;
pub mod table;
