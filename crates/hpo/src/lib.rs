//! Hyper-parameter search: a space and an objective in, the best configuration out.
//!
//! A [`Space`] says which settings exist; a [`Sampler`](sampler::Sampler) proposes configurations from what
//! earlier trials came to; a [`Pruner`](pruner::Pruner) ends those that lead nowhere; a [`Study`] holds all of
//! that together in a [`Journal`](storage::Journal), from which any number of workers go on.
//!
//! ```
//! use foretaste_hpo::{Budget, Space, Study, StudySettings};
//!
//! let space: Space = r#"
//!     x = { type = "float", low = -5.0, high = 5.0 }
//!     kind = { type = "categorical", choices = ["square", "cube"] }
//! "#.parse()?;
//! let study = Study::in_memory(space, StudySettings::default())?;
//! study.optimize(&Budget::trials(30), |trial| {
//!     let x = trial.float("x")?;
//!     Ok(if trial.text("kind")? == "square" { (x - 1.0).powi(2) } else { x.abs().powi(3) + 1.0 })
//! })?;
//! let best = study.best()?.expect("thirty trials");
//! assert!(best.value.unwrap() < 0.1);
//! # Ok::<(), foretaste_hpo::HpoError>(())
//! ```

mod error;
pub mod importance;
mod lbfgs;
mod normal;
pub mod pruner;
pub mod sampler;
mod seed;
mod space;
pub mod storage;
mod study;
mod trial;

pub use error::{HpoError, Result};
pub use seed::trial_seed;
pub use space::{Condition, Configuration, Constraint, Domain, Parameter, Space, Test, Value};
pub use study::{Budget, Direction, Halt, Running, Study, StudySettings};
pub use trial::{History, Report, State, Trial};
