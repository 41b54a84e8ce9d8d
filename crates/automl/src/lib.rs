//! Which algorithm, with which settings.
//!
//! [`Materials`] are what may be learned from: rows that train and rows that judge; test rows never come here. An
//! [`Objective`] trains one configuration of one model and judges it by a [`Metric`]; [`tune`] searches a model's
//! settings with it; a [`Race`] lets models compete for a budget's time, and [`blend`] joins the best of
//! them, with weights from the judging rows or from training rows predicted [`out_of_fold`].

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
