//! Errors of a search.

/// Result of this crate.
pub type Result<T, E = HpoError> = std::result::Result<T, E>;

/// An error of a search.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HpoError {
    /// Returned when a search space cannot be read or contradicts itself.
    #[error("search space: {0}")]
    Space(String),
    /// Returned when a setting is unknown, of the wrong type or out of range.
    #[error("setting {name}: {reason}")]
    Setting {
        /// The setting.
        name: String,
        /// What is wrong, with the range.
        reason: String,
    },
    /// Returned when a sampler or pruner is unknown or cannot work with the space.
    #[error("{0}")]
    Usage(String),
    /// Returned when a storage cannot be opened, read or written, after retries.
    #[error(
        "{storage}: {reason}\n  help: the study is whole as far as it was written; run the same command \
         again once the storage answers"
    )]
    Storage {
        /// File or address, without password.
        storage: String,
        /// The storage's reason.
        reason: String,
    },
    /// Returned when a study exists already and differs from what was requested.
    #[error("study {study}: {reason}")]
    Study {
        /// Its name.
        study: String,
        /// What differs, and how to fix it.
        reason: String,
    },
    /// Returned when another worker has taken the trial over, or it ended elsewhere.
    #[error("trial {trial} is no longer held by this worker: {reason}")]
    Lost {
        /// The trial.
        trial: usize,
        /// Which worker has it, or how it ended.
        reason: String,
    },
}
