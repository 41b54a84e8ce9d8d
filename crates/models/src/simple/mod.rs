//! Simple models: baselines.

pub mod biases;
pub mod popularity;
pub mod rolling_average;
