#![doc = include_str!("../README.md")]

pub mod compare;
pub mod dataset;
mod error;
pub mod grid;
pub mod machine;
mod progress;
pub mod published;
pub mod ranking;
pub mod results;
pub mod runner;
pub mod systems;

pub use error::{BenchError, Result};
pub use progress::{RunProgress, Silent};
