//! Protocols, metrics, published results, tables, charts and reports: what turns trained models into
//! evidence. The `foretaste` program is a thin shell over this crate.

pub mod chart;
pub mod cli;
pub mod commands;
pub mod compare;
pub mod dataset;
mod error;
pub mod fetch;
pub mod leaderboard;
pub mod machine;
pub mod output;
pub mod progress;
pub mod published;
pub mod ranking;
pub mod report;
pub mod results;
pub mod runner;
pub mod systems;
pub mod table;
pub mod tuning;

pub use error::{BenchError, Result};
