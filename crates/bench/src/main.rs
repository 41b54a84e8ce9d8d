//! The `foretaste` program.

use clap::Parser;
use foretaste_bench::cli::Cli;
use foretaste_bench::output;
use std::process::ExitCode;

fn main() -> ExitCode {
    // A lent device that is gone fills screens with burn's warnings before our error tells it.
    let usual = || tracing_subscriber::EnvFilter::new("warn,burn_remote=error");
    let filter = tracing_subscriber::EnvFilter::try_from_env("FORETASTE_LOG").unwrap_or_else(|_| usual());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).without_time().init();
    if std::env::args().any(|argument| argument == "--json") {
        output::speak_json();
    }
    match foretaste_bench::commands::run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error.to_string());
            ExitCode::from(error.exit_code())
        }
    }
}
