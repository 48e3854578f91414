//! `fieldbook-phone`: see [`fieldbook_tests::phone`].

use std::process::ExitCode;

use clap::Parser;
use fieldbook_tests::phone::{Args, run};

fn main() -> ExitCode {
    run(&Args::parse())
}
