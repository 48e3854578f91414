//! `make demo`: one visit, two phones, one supervisor, as separate processes on a bad line.

pub mod people;
pub mod stage;
