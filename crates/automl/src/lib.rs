#![doc = include_str!("../README.md")]

pub mod blend;
mod decide;
mod error;
mod folds;
mod metric;
mod objective;
mod race;
mod selection_data;
mod task;
mod tune;

pub use decide::{Decision, TRIALS_SHARE, Winner};
pub use error::{AutomlError, Result};
pub use folds::{FOLDS, out_of_fold};
pub use metric::{Judge, Metric, clipped_rmse};
pub use objective::{Candidate, Objective, Scored};
pub use race::{Entrant, Kept, Moment, Race, Standing, Stopped};
pub use selection_data::SelectionData;
pub use task::{Log, Task};
pub use tune::{Tuning, tune};

/// The examples of the guide run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/as-a-library.md")]
mod guide {}
