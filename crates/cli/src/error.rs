//! Errors of commands, with hints for a fix in the program's own flags, and the exit status of each.

use crate::output::program;
use foretaste_automl::AutomlError;
use foretaste_bench::BenchError;
use foretaste_data::{DataError, Hint, Manifest};
use foretaste_hpo::HpoError;
use foretaste_models::ModelError;
use std::path::Path;

/// Result of this crate.
pub type Result<T, E = CliError> = std::result::Result<T, E>;

/// An error of the program, ready to be printed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CliError {
    /// Returned when data cannot be read, split or written.
    #[error("{}", .0.spoken(&flag))]
    Data(#[from] DataError),
    /// Returned when a model cannot be trained, saved or loaded.
    #[error("{}", told(.0))]
    Model(#[from] ModelError),
    /// Returned when a search has an invalid space or setting, or its storage does not respond.
    #[error(transparent)]
    Search(#[from] HpoError),
    /// Returned when arguments contradict each other or name something that does not exist.
    #[error("{0}")]
    Usage(String),
    /// Returned when a file or folder cannot be read or written.
    #[error("{path}: cannot {action}: {source}")]
    Io {
        /// The file or folder.
        path: String,
        /// The failed action.
        action: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Returned when nothing of what was asked for could be computed.
    #[error("{0}")]
    Failed(String),
    /// Returned when fetching fails.
    #[error("cannot fetch {what}: {reason}")]
    Fetch {
        /// Data set or address.
        what: String,
        /// Why, and how to fix it.
        reason: String,
    },
    /// Returned when a chart cannot be drawn.
    #[error("cannot draw {what}: {reason}")]
    Chart {
        /// Which.
        what: String,
        /// Why.
        reason: String,
    },
    /// Returned after Ctrl-C; finished work is kept.
    #[error(
        "interrupted; what is finished is kept\n  help: run the same command again; a run, search or race \
         with \
         --resume continues where it stopped"
    )]
    Interrupted,
}

/// What the program calls an option or action that helps.
fn flag(hint: Hint) -> String {
    match hint {
        Hint::Format => "--format",
        Hint::Delimiter => "--delimiter",
        Hint::Quoting => "--quote",
        Hint::Encoding => "--encoding",
        Hint::NoHeader => "--no-header",
        Hint::DateOrder => "--date-order",
        Hint::TimeUnit => "--time-unit",
        Hint::SkipBadRows => "--skip-bad-rows",
        Hint::Columns => "--columns",
        Hint::NoFurther => "--no-further-columns",
        Hint::User => "--user-column",
        Hint::Item => "--item-column",
        Hint::Timestamp => "--time-column",
        Hint::Value => "--value-column",
        Hint::EventType => "--event-column",
        Hint::DataSets => return format!("`{} datasets`", program()),
        Hint::Fetch => return format!("`{} fetch`", program()),
        Hint::Folder => "--data",
        other => other.name(),
    }
    .to_owned()
}

/// An error about a model in the program's words.
fn told(error: &ModelError) -> String {
    match error {
        ModelError::Data(error) => error.spoken(&flag),
        other => other.to_string(),
    }
}

impl From<BenchError> for CliError {
    fn from(error: BenchError) -> Self {
        match error {
            BenchError::Data(error) => Self::Data(error),
            BenchError::Interrupted | BenchError::Model(ModelError::Interrupted) => Self::Interrupted,
            BenchError::Model(error) => Self::Model(error),
            BenchError::Io { path, action, source } => Self::Io { path, action, source },
            BenchError::Change { change, reason } => Self::Usage(format!("--set {change}: {reason}")),
            BenchError::Users { range, reason } => Self::Usage(format!("--users {range}: {reason}")),
            BenchError::Absent { ref name, .. } if !fetchable(name) => {
                Self::Usage(format!("{error}\n  help: nobody serves it; give its folder with --data"))
            }
            BenchError::Absent { ref name, .. } => Self::Usage(format!(
                "{error}\n  help: `{} fetch {name}` brings it (or --accept-licence here), or give its folder \
                 with --data",
                program()
            )),
            other => Self::Usage(other.to_string()),
        }
    }
}

/// Whether somebody serves a data set.
fn fetchable(name: &str) -> bool {
    Manifest::find(name).is_ok_and(|manifest| manifest.archive.is_some() || manifest.package.is_some())
}

impl From<AutomlError> for CliError {
    fn from(error: AutomlError) -> Self {
        match error {
            AutomlError::Search(error) => Self::Search(error),
            AutomlError::Model(error) => Self::Model(error),
            AutomlError::Data(error) => Self::Data(error),
            other => Self::Usage(other.to_string()),
        }
    }
}

impl CliError {
    /// For `map_err`: the action that failed at `path`.
    pub(crate) fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Io { path, action, source }
    }

    /// Whether nothing of a run can go on after it: an interruption, or a folder that takes no more files.
    pub(crate) fn ends_a_run(&self) -> bool {
        let io = matches!(
            self,
            Self::Io { .. }
                | Self::Data(DataError::Io { .. })
                | Self::Model(ModelError::Data(DataError::Io { .. }))
                | Self::Search(HpoError::Storage { .. })
        );
        io || self.exit_code() == 130
    }

    /// The exit status of the program: 130 after Ctrl-C, 2 for wrong usage, else 1
    /// (`docs/exit-status.md`).
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Interrupted
            | Self::Data(DataError::Stopped)
            | Self::Model(ModelError::Interrupted | ModelError::Data(DataError::Stopped)) => 130,
            Self::Usage(_)
            | Self::Search(
                HpoError::Space(_) | HpoError::Setting { .. } | HpoError::Usage(_) | HpoError::Study { .. },
            )
            | Self::Data(DataError::Setting(_))
            | Self::Model(ModelError::Setting { .. } | ModelError::Device { .. }) => 2,
            _ => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `docs/exit-status.md` says.
    #[test]
    fn exit_statuses() {
        let io = || std::io::Error::other("disk full");
        let path = Path::new("x");
        let model = |reason: &str| ModelError::Training { model: "pmf", reason: reason.into() };
        let cases: [(CliError, u8); 15] = [
            (CliError::Interrupted, 130),
            (DataError::Stopped.into(), 130),
            (ModelError::Interrupted.into(), 130),
            (BenchError::Interrupted.into(), 130),
            (CliError::Usage("--threads 0".into()), 2),
            (BenchError::Request("unknown model".into()).into(), 2),
            (DataError::Setting("idle gap".into()).into(), 2),
            (ModelError::Setting { model: "pmf", setting: "epochs".into(), reason: String::new() }.into(), 2),
            (HpoError::Usage("unknown sampler".into()).into(), 2),
            (CliError::Failed("all trials failed".into()), 1),
            (CliError::io(path, "create")(io()), 1),
            (BenchError::io(path, "write")(io()).into(), 1),
            (DataError::Io { path: "x".into(), action: "read", source: io() }.into(), 1),
            (model("no rows").into(), 1),
            (HpoError::Storage { storage: "s".into(), reason: "away".into() }.into(), 1),
        ];
        for (error, status) in cases {
            assert_eq!(error.exit_code(), status, "{error}");
        }
    }
}
