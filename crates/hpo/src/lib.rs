#![doc = include_str!("../README.md")]

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
