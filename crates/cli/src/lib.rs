#![doc = include_str!("../README.md")]

mod arguments;
mod chart;
mod commands;
mod error;
mod fetch;
mod input;
mod leaderboard;
mod lists;
mod output;
mod page;
mod progress;
mod ratings;
mod report;
mod tuning;
mod views;

pub use error::{CliError, Result};
pub use fetch::fetch;

use arguments::Cli;
use clap::Parser;
use std::process::ExitCode;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

/// The whole program: reads the process's arguments, runs the command and returns the exit status. A program
/// of your own calls it after registering models ([`foretaste_models::register`]).
#[must_use]
pub fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--json") {
        output::speak_json();
    }
    let levels = std::env::var("FORETASTE_LOG").unwrap_or_else(|_| "warn".to_owned());
    let filter = match levels.parse::<Targets>() {
        Ok(filter) => filter,
        Err(error) => {
            output::error(&format!(
                "FORETASTE_LOG={levels}: {error}\n  help: write a level (debug) or one per crate \
                 (warn,foretaste_models=debug)"
            ));
            return ExitCode::from(2);
        }
    };
    let lines =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false).without_time();
    let lines = lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
    match commands::run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// Prints an error as [`main`] does and returns its exit status.
#[must_use]
pub fn fail(error: &CliError) -> ExitCode {
    output::error(&error.to_string());
    ExitCode::from(error.exit_code())
}
