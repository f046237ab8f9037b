//! The admin's command line: a client of the public API and of nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    holdfast_master::cli::main()
}
