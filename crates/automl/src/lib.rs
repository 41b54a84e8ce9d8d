#![doc = include_str!("../README.md")]

pub mod blend;
mod error;
mod folds;
mod materials;
mod metric;
mod objective;
mod race;
mod tune;

pub use error::{AutomlError, Result};
pub use folds::{FOLDS, out_of_fold};
pub use materials::Materials;
pub use metric::{Judge, Metric, clipped_rmse};
pub use objective::{Candidate, Objective, Scored};
pub use race::{Entrant, Kept, Moment, Race, Standing, Stopped};
pub use tune::{Tuning, tune};
