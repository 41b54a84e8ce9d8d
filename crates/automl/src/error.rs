//! Errors of a selection.

/// Result of this crate.
pub type Result<T, E = AutomlError> = std::result::Result<T, E>;

/// An error of tuning or racing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AutomlError {
    /// Returned when a search has an invalid space or its storage does not respond.
    #[error(transparent)]
    Search(#[from] foretaste_hpo::HpoError),
    /// Returned when a model cannot be trained or has an invalid setting.
    #[error(transparent)]
    Model(#[from] foretaste_models::ModelError),
    /// Returned when predictions of earlier trials cannot be written or read.
    #[error(transparent)]
    Data(#[from] foretaste_data::DataError),
    /// Returned when there is nothing to choose from.
    #[error("{0}")]
    Nothing(String),
}
