//! Simple models, there to be beaten.

pub mod biases;
pub mod popularity;
pub mod rolling_average;
