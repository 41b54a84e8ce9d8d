//! Errors of an evaluation.

use std::path::{Path, PathBuf};

/// Result of this crate.
pub type Result<T, E = BenchError> = std::result::Result<T, E>;

/// An error of an evaluation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// Returned when data cannot be read, split or written.
    #[error(transparent)]
    Data(#[from] foretaste_data::DataError),
    /// Returned when a model cannot be trained, saved or loaded.
    #[error(transparent)]
    Model(#[from] foretaste_models::ModelError),
    /// Returned when a request contradicts itself or names something that does not exist.
    #[error("{0}")]
    Request(String),
    /// Returned when a change of a system's setting cannot be read.
    #[error("change {change}: {reason}")]
    Change {
        /// As it was given: `MODEL.SETTING=VALUE`.
        change: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Returned when a range of users is malformed or holds none.
    #[error("users {range}: {reason}")]
    Users {
        /// As it was given: `FROM-TO`.
        range: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Returned when a known data set is not on this machine.
    #[error("{name} is not on this machine (looked in {})", place.display())]
    Absent {
        /// The data set.
        name: String,
        /// Where it was expected.
        place: PathBuf,
    },
    /// Returned when a file or folder cannot be read or written.
    #[error("{path}: cannot {action}: {source}")]
    Io {
        /// The file or folder.
        path: String,
        /// The failed action: "create", "write".
        action: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Returned when the observer of progress requested a stop; finished cells are kept.
    #[error("interrupted; what is finished is kept")]
    Interrupted,
}

impl BenchError {
    /// Whether nothing of a run can go on after it: an interruption, or a folder that takes no more files.
    pub(crate) fn ends_a_run(&self) -> bool {
        use foretaste_data::DataError;
        use foretaste_models::ModelError;
        match self {
            Self::Interrupted | Self::Io { .. } | Self::Model(ModelError::Interrupted) => true,
            Self::Data(error) | Self::Model(ModelError::Data(error)) => {
                matches!(error, DataError::Stopped | DataError::Io { .. })
            }
            _ => false,
        }
    }

    /// For `map_err`: the action that failed at `path`.
    pub fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Io { path, action, source }
    }
}
