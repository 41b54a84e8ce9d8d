#![doc = include_str!("../README.md")]

pub mod lists;
mod values;

pub use values::{auc, log_loss, mae, mean_and_deviation, rmse};
