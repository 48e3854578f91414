//! The one integration binary.

// All of it is test code; clippy's own exception covers only functions marked `#[test]`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod areas;
mod conflicts;
mod connections;
mod converge;
mod cuts;
mod enrol;
mod enrolled_again;
mod erased;
mod hub;
mod inside;
mod intake;
mod moves;
mod nginx;
mod office;
mod operations;
mod phone;
mod purge;
mod refusals;
mod replayed;
mod restored;
mod segments;
mod sheets;
mod simulation;
mod tidy;
mod transcode;
mod watch;
mod words;
mod xlsforms;
