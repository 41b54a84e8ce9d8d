//! The `foretaste` program with one more model.

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Err(error) = foretaste_models::register::<own_model::Settings>() {
        return foretaste::fail(&error.into());
    }
    foretaste::main()
}
