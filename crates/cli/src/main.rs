//! The `foretaste` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    foretaste::main()
}
