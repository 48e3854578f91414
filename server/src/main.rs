//! The server's command line.

use std::process::ExitCode;

/// Documents are built of many small allocations: this one serves them in half the time of the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit status of a program that the signal SIGPIPE ended.
const CLOSED_PIPE: i32 = 141;

/// Who reads what a command prints may stop reading (`| head`): that is no failure, and nothing to tell anybody.
fn end_quietly_on_a_closed_pipe() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let said = panic.payload_as_str().unwrap_or_default();
        if said.starts_with("failed printing to std") && said.contains("Broken pipe") {
            std::process::exit(CLOSED_PIPE);
        }
        usual(panic);
    }));
}

fn main() -> ExitCode {
    end_quietly_on_a_closed_pipe();
    fieldbook_server::cli::run(std::env::args_os())
}
