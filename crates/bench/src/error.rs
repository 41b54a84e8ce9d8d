//! What can go wrong in a run.

use foretaste_hpo::HpoError;

/// Result of this crate.
pub type Result<T, E = BenchError> = std::result::Result<T, E>;

/// An error of the program, ready for people.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// Returned when data cannot be read, split or written.
    #[error(transparent)]
    Data(#[from] foretaste_data::DataError),
    /// Returned when a model cannot be trained, saved or loaded.
    #[error(transparent)]
    Model(#[from] foretaste_models::ModelError),
    /// Returned when a search has a bad space or setting, or its storage does not answer.
    #[error(transparent)]
    Search(#[from] HpoError),
    /// Returned when arguments contradict each other or name what is not there.
    #[error("{0}")]
    Usage(String),
    /// Returned when fetching fails.
    #[error("cannot fetch {what}: {reason}")]
    Fetch {
        /// Data set or address.
        what: String,
        /// Why, and the way out.
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
    /// Returned after Ctrl-C; what is finished is kept.
    #[error("interrupted; what is finished is kept\n  help: run the same command again; a run, search or race with --resume goes on where it stood")]
    Interrupted,
}

impl From<foretaste_automl::AutomlError> for BenchError {
    fn from(error: foretaste_automl::AutomlError) -> Self {
        use foretaste_automl::AutomlError;
        match error {
            AutomlError::Search(error) => Self::Search(error),
            AutomlError::Model(error) => Self::Model(error),
            AutomlError::Data(error) => Self::Data(error),
            other => Self::Usage(other.to_string()),
        }
    }
}

impl BenchError {
    /// The exit status of the program: 130 after Ctrl-C, 2 for wrong usage, else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Interrupted | Self::Model(foretaste_models::ModelError::Interrupted) => 130,
            Self::Usage(_)
            | Self::Search(HpoError::Space(_) | HpoError::Setting { .. } | HpoError::Usage(_) | HpoError::Study { .. })
            | Self::Data(foretaste_data::DataError::Setting(_))
            | Self::Model(foretaste_models::ModelError::Setting { .. } | foretaste_models::ModelError::Device { .. }) => 2,
            _ => 1,
        }
    }
}
