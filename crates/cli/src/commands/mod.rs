//! The program's commands: validate the arguments and run.

mod automl;
mod convert;
mod fetch;
mod recommend;
mod reproduce;
mod search;
mod simulate;
mod tune;
mod tuned;

use crate::arguments::{Cli, Command, Reading};
use crate::{CliError, Result};
use foretaste_bench::dataset::Beside;
use foretaste_data::{ColumnMapping, ReadOptions, TimeUnit};
use std::path::{Path, PathBuf};

/// Runs one command.
///
/// # Errors
/// Those of the command.
pub fn run(cli: Cli) -> Result<()> {
    match cli.command {
        Command::Reproduce(arguments) => reproduce::run(&arguments),
        Command::Recommend(arguments) => recommend::run(&arguments),
        Command::Automl(arguments) => automl::run(&arguments),
        Command::Tune(arguments) => tune::run(&arguments),
        Command::Import(arguments) => convert::import(&arguments),
        Command::Sessions(arguments) => convert::sessions(&arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Fetch(arguments) => fetch::run(&arguments),
        Command::Datasets => {
            fetch::list();
            Ok(())
        }
    }
}

/// Sets the number of threads of everything that computes.
fn use_threads(threads: Option<usize>) -> Result<()> {
    let Some(threads) = threads else { return Ok(()) };
    if threads == 0 {
        return Err(CliError::Usage("--threads 0: at least one thread is needed".into()));
    }
    // Fails only where the pool was built already, as in tests that run several commands.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    Ok(())
}

/// An argument's value.
fn parsed<T: std::str::FromStr<Err = String>>(flag: &str, text: Option<&str>) -> Result<Option<T>> {
    text.map(str::parse).transpose().map_err(|reason| CliError::Usage(format!("{flag}: {reason}")))
}

/// `1-2999`: a range of ids rather than a file.
fn is_range(text: &str) -> bool {
    let number = |text: &str| !text.trim().is_empty() && text.trim().bytes().all(|b| b.is_ascii_digit());
    text.split_once('-').is_some_and(|(from, to)| number(from) && number(to))
}

impl Reading {
    /// The tables that are named.
    ///
    /// # Errors
    /// [`CliError::Usage`] for a table of users that is not there: it may be meant as a range.
    pub(crate) fn beside(&self) -> Result<Beside> {
        let users = self.users.iter().find(|users| !is_range(users)).map(PathBuf::from);
        if let Some(path) = users.as_ref().filter(|path| !path.exists()) {
            return Err(CliError::Usage(format!(
                "--users {}: write FROM-TO, for example 1-2999, or the file of a table of users",
                path.display()
            )));
        }
        Ok(Beside { users, items: self.items.clone() })
    }

    /// Refuses a range of users, which `command` does not know.
    pub(crate) fn no_range(&self, command: &str) -> Result<()> {
        match self.user_range() {
            None => Ok(()),
            Some(range) => Err(CliError::Usage(format!(
                "--users {range}: {command} keeps all users; only reproduce takes a range of them"
            ))),
        }
    }

    /// The range of users that is named.
    pub(crate) fn user_range(&self) -> Option<&String> {
        self.users.iter().find(|users| is_range(users))
    }

    /// The files that hold tables of items and users.
    pub fn tables(&self) -> impl Iterator<Item = &Path> {
        let users = self.users.iter().filter(|users| !is_range(users)).map(Path::new);
        self.items.as_deref().into_iter().chain(users)
    }

    /// Validated reader options.
    ///
    /// # Errors
    /// [`CliError::Usage`] for an unknown format or a malformed scale.
    pub fn options(&self) -> Result<ReadOptions> {
        if self.rejects.is_some() && self.skip_bad_rows == 0 {
            return Err(CliError::Usage("--rejects without --skip-bad-rows N: no bad line is moved".into()));
        }
        let scale = self.scale.as_ref().map(|text| {
            let ends = text.split_once(',').and_then(|(low, high)| {
                Some((low.trim().parse::<f32>().ok()?, high.trim().parse::<f32>().ok()?))
            });
            ends.filter(|(low, high)| low < high).ok_or_else(|| {
                CliError::Usage(format!(
                    "--scale {text}: write the smallest and the largest rating, for example 1,5"
                ))
            })
        });
        Ok(ReadOptions {
            format: self.format.as_deref().map(str::parse).transpose().map_err(CliError::Usage)?,
            columns: ColumnMapping {
                user: self.user_column.clone(),
                item: self.item_column.clone(),
                timestamp: self.time_column.clone(),
                value: self.value_column.clone(),
                event_type: self.event_column.clone(),
            },
            names: self.columns.clone(),
            no_header: self.no_header,
            delimiter: self.delimiter.clone(),
            quoting: parsed("--quote", self.quote.as_deref())?,
            encoding: parsed("--encoding", self.encoding.as_deref())?,
            date_order: parsed("--date-order", self.date_order.as_deref())?,
            time_unit: match self.time_unit.as_str() {
                "ms" => TimeUnit::Ms,
                "us" => TimeUnit::Us,
                "ns" => TimeUnit::Ns,
                _ => TimeUnit::S,
            },
            no_further: self.no_further_columns,
            events: self.events.clone(),
            min_value: self.min_value,
            scale: scale.transpose()?,
            skip_bad_rows: self.skip_bad_rows,
            rejects: self.rejects.clone(),
            now: None,
        })
    }
}
