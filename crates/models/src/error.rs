//! Errors of models.

use std::path::Path;

/// Result of this crate.
pub type Result<T, E = ModelError> = std::result::Result<T, E>;

/// An error about a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// Returned when a setting is unknown, of the wrong type or outside its range.
    #[error("setting {model}.{setting}: {reason}")]
    Setting {
        /// The model's name.
        model: &'static str,
        /// The setting's name.
        setting: String,
        /// What is wrong, with the range allowed.
        reason: String,
    },
    /// Returned when the training part cannot train the model.
    #[error("cannot train {model}: {reason}")]
    Training {
        /// The model's name.
        model: &'static str,
        /// Why.
        reason: String,
    },
    /// Returned when the data lack what a model's settings need: a table of users, say.
    #[error("cannot train {model}: {reason}")]
    Unserved {
        /// The model's name.
        model: &'static str,
        /// What is lacking, and the setting that does without it.
        reason: String,
    },
    /// Returned when the caller requested a stop; checkpoints are kept.
    #[error("interrupted")]
    Interrupted,
    /// Returned when a device does not exist, is not compiled in, or fails.
    #[error("device {device}: {reason}")]
    Device {
        /// The device's name.
        device: String,
        /// Why, and how to fix it.
        reason: String,
    },
    /// Returned when a saved model or checkpoint cannot be read: missing parts, another version,
    /// other shapes.
    #[error("{path}: {reason}")]
    Saved {
        /// The folder or file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Returned when bytes are not a state of the model that should read them.
    #[error("the stored state {0}")]
    State(String),
    /// Returned when reading or writing data fails.
    #[error(transparent)]
    Data(#[from] foretaste_data::DataError),
}

impl ModelError {
    pub(crate) fn saved(path: &Path, reason: impl Into<String>) -> Self {
        Self::Saved { path: path.display().to_string(), reason: reason.into() }
    }

    pub(crate) fn device(device: &str, reason: impl Into<String>) -> Self {
        Self::Device { device: device.to_owned(), reason: reason.into() }
    }
}

/// Checks that the setting `value` of `model` lies in `low..=high`.
///
/// # Errors
/// [`ModelError::Setting`] naming value and range.
pub fn within<T: PartialOrd + std::fmt::Display + Copy>(
    model: &'static str,
    setting: &str,
    value: T,
    low: T,
    high: T,
) -> Result<()> {
    if value >= low && value <= high {
        return Ok(());
    }
    let reason = format!("{value} is not in [{low}, {high}]");
    Err(ModelError::Setting { model, setting: setting.to_owned(), reason })
}
