//! What can go wrong in an evaluation.

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
    /// Returned when what was asked for contradicts itself or names what is not there.
    #[error("{0}")]
    Request(String),
    /// Returned when a known data set lies nowhere on this machine.
    #[error("{name} is not on this machine (looked in {})", place.display())]
    Absent {
        /// The data set.
        name: String,
        /// Where it would lie.
        place: PathBuf,
    },
    /// Returned when a file or folder cannot be read or written.
    #[error("{path}: cannot {action}: {source}")]
    Io {
        /// The file or folder.
        path: String,
        /// What was tried: "create", "write".
        action: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Returned when whoever hears of progress asked to stop; what is finished is kept.
    #[error("interrupted; what is finished is kept")]
    Interrupted,
}

impl BenchError {
    /// For `map_err`: what failed at `path`.
    pub fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Io { path, action, source }
    }
}
