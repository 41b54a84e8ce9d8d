//! Sessions as plans of an existing engine: [DataFusion](https://datafusion.apache.org) in this process, or
//! [Ballista](https://datafusion.apache.org/ballista) on a cluster.
//!
//! ```text
//! Parquet or CSV files --arrived--> rows with their order of arrival --sessions--> the public session schema
//!                                                              --split------> the same, train and test apart
//! ```
//!
//! The rows are those that `foretaste sessions` builds, in the same order; `tests/` compares the two. Plans
//! are made of the engine's own functions alone, so that any Ballista cluster of the same version runs them,
//! and the last stage is read here, its order and the number of its rows are checked, and it is written whole
//! or not at all: a cluster that fails leaves no file behind.

mod arrive;
#[cfg(feature = "ballista")]
pub mod cluster;
mod engine;
mod plan;
mod stores;

pub use arrive::{Arrived, Input};
pub use engine::Engine;
pub use plan::{Cut, rows, sessions, split, vocabulary};

use foretaste_data::DataError;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Of the data, or of writing it.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Of the engine: a plan that fails, an executor that is lost, a store that does not answer.
    #[error("the engine failed: {0}\n  help: nothing was written; fix the cause and run the command again")]
    Engine(#[from] datafusion::error::DataFusionError),
    /// An argument that cannot be followed.
    #[error("{0}")]
    Usage(String),
}

/// A result of this crate.
pub type Result<T, E = ClusterError> = std::result::Result<T, E>;
