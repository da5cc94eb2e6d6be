//! The one binary: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    node::cli::main()
}
