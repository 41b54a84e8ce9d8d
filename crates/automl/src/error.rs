//! What can go wrong in a selection.

/// Result of this crate.
pub type Result<T, E = AutomlError> = std::result::Result<T, E>;

/// An error of tuning or racing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AutomlError {
    /// Returned when a search meets a bad space or a storage that does not answer.
    #[error(transparent)]
    Search(#[from] foretaste_hpo::HpoError),
    /// Returned when a model cannot be trained or has a bad setting.
    #[error(transparent)]
    Model(#[from] foretaste_models::ModelError),
    /// Returned when predictions of earlier trials cannot be kept or read.
    #[error(transparent)]
    Data(#[from] foretaste_data::DataError),
    /// Returned when nothing can be chosen.
    #[error("{0}")]
    Nothing(String),
}
