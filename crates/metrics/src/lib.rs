//! What predictions and lists are worth: errors of predicted ratings and clicks, metrics of ranked lists. One formula each,
//! of plain slices; nothing else of the project is needed for them.

pub mod lists;
mod values;

pub use values::{auc, log_loss, mae, mean_and_deviation, rmse};
