//! The `apportion` program; everything it can do is in the library, how it is asked in `cli`.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
