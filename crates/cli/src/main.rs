//! The `foretaste` program.

use clap::Parser;
use foretaste_bench::cli::Cli;
use foretaste_bench::output;
use std::process::ExitCode;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--json") {
        output::speak_json();
    }
    let levels = std::env::var("FORETASTE_LOG").unwrap_or_else(|_| "warn".to_owned());
    let filter = match levels.parse::<Targets>() {
        Ok(filter) => filter,
        Err(error) => {
            output::error(&format!("FORETASTE_LOG={levels}: {error}\n  help: write a level (debug) or one a crate (warn,foretaste_models=debug)"));
            return ExitCode::from(2);
        }
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false).without_time();
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
    match foretaste_bench::commands::run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error.to_string());
            ExitCode::from(error.exit_code())
        }
    }
}
