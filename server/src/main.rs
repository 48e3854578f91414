//! The server's command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    fieldbook_server::cli::run(std::env::args_os())
}
