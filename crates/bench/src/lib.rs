#![doc = include_str!("../README.md")]

pub mod chart;
pub mod cli;
pub mod commands;
pub mod compare;
pub mod dataset;
mod error;
pub mod fetch;
pub mod grid;
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
