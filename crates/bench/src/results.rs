//! Results of cells, their files, and their aggregation over seeds.
//!
//! What follows from settings, seed and data ([`Outcome`]) is kept apart from what was measured on
//! the way ([`Measured`]): the first comes out equal to the byte however often a run is interrupted.

use crate::metrics::mean_and_deviation;
use crate::{BenchError, Result};
use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt64Array};
use foretaste_data::{DataError, Regime, atomic};
use foretaste_models::{EpochReport, Reading};
use parquet::arrow::ArrowWriter;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;

/// Errors of one reading of the test part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Errors {
    /// How the test part was read.
    pub reading: Reading,
    /// Root mean squared error.
    pub rmse: f64,
    /// Mean absolute error.
    pub mae: f64,
    /// RMSE over test rows whose user and item have training rows; none without such rows.
    pub warm_rmse: Option<f64>,
    /// RMSE by the user's activity ([`ACTIVITY`]); none without such rows.
    pub by_activity: [Option<f64>; 3],
    /// SHA-256 of the predictions.
    pub predictions_sha256: String,
}

/// Users by their number of training rows: name, fewest, most.
pub const ACTIVITY: [(&str, usize, usize); 3] = [("cold", 0, 19), ("warm", 20, 199), ("hot", 200, usize::MAX)];

/// Squared errors by user, for comparisons over users.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ByUser {
    /// Users with test rows, ascending.
    pub users: Vec<u32>,
    /// Test rows of each.
    pub rows: Vec<u32>,
    /// Sum of squared errors of each, one list a reading.
    pub squares: Vec<Vec<f64>>,
}

/// What a cell found; follows from settings, seed and data alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Data set.
    pub dataset: String,
    /// Regime.
    pub regime: Regime,
    /// Split, as the rule names it.
    pub split: String,
    /// System.
    pub system: String,
    /// Seed.
    pub seed: u64,
    /// Rows that trained.
    pub train_rows: usize,
    /// Rows that tested.
    pub test_rows: usize,
    /// Test rows whose user or item has no training row.
    pub cold_rows: usize,
    /// Test rows by the user's activity ([`ACTIVITY`]).
    pub activity_rows: [usize; 3],
    /// Whether the system knew who rates what in the test part.
    pub transductive: bool,
    /// Trained parameters.
    pub parameters: usize,
    /// Epochs of the final training; 0 for models without epochs.
    pub epochs: usize,
    /// SHA-256 of the weights.
    pub weights_sha256: String,
    /// Errors, one entry a reading.
    pub errors: Vec<Errors>,
    /// Learning curve: the training that chose the number of epochs, where there was one.
    pub curve: Vec<EpochReport>,
}

/// What was measured while a cell ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Device of the training.
    pub device: String,
    /// Seconds of the final training.
    pub train_seconds: f64,
    /// Training rows times epochs a second.
    pub events_per_second: f64,
    /// Seconds of choosing the number of epochs.
    pub selection_seconds: f64,
    /// Seconds of predicting, both readings together.
    pub predict_seconds: f64,
    /// Peak resident memory of the process while the cell ran, in MB.
    pub peak_memory_mb: Option<u64>,
}

/// A finished cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Hash of all that determines the outcome.
    pub key: String,
    /// What it found.
    pub outcome: Outcome,
    /// What was measured.
    pub measured: Measured,
    /// Squared errors by user.
    pub by_user: ByUser,
}

/// The cells of one system in one table.
pub struct Row<'a> {
    /// The cells, one a seed.
    pub cells: Vec<&'a Cell>,
}

impl Row<'_> {
    /// Mean and deviation over seeds of `f` over the errors of `reading`.
    #[must_use]
    pub fn errors(&self, reading: Reading, f: impl Fn(&Errors) -> f64) -> Option<(f64, f64)> {
        let values: Vec<f64> = self.cells.iter().flat_map(|c| &c.outcome.errors).filter(|e| e.reading == reading).map(f).collect();
        (!values.is_empty()).then(|| mean_and_deviation(&values))
    }

    /// Mean over seeds of something measured.
    #[must_use]
    pub fn measured(&self, f: impl Fn(&Measured) -> f64) -> f64 {
        mean_and_deviation(&self.cells.iter().map(|c| f(&c.measured)).collect::<Vec<_>>()).0
    }

    /// Largest peak memory over seeds, in MB.
    #[must_use]
    pub fn peak_memory_mb(&self) -> Option<u64> {
        self.cells.iter().filter_map(|c| c.measured.peak_memory_mb).max()
    }

    /// The outcome of the first seed, for what seeds share.
    #[must_use]
    pub fn first(&self) -> &Outcome {
        &self.cells[0].outcome
    }
}

/// Groups cells into rows by system, in the order they come.
#[must_use]
pub fn rows<'a>(cells: &[&'a Cell]) -> Vec<Row<'a>> {
    let mut rows: Vec<Row> = Vec::new();
    for cell in cells {
        match rows.iter_mut().find(|row| row.first().system == cell.outcome.system) {
            Some(row) => row.cells.push(cell),
            None => rows.push(Row { cells: vec![cell] }),
        }
    }
    rows
}

/// Writes `results.json` and `results.parquet` (outcomes, equal on every machine's rerun of the same
/// settings and device) and `measured.json`.
///
/// # Errors
/// [`BenchError::Data`] when a file cannot be written.
pub fn write(cells: &[Cell], folder: &Path) -> Result<()> {
    let outcomes: Vec<&Outcome> = cells.iter().map(|c| &c.outcome).collect();
    atomic::write(&folder.join("results.json"), &json(&outcomes)?)?;
    let measured: Vec<_> = cells
        .iter()
        .map(|c| serde_json::json!({ "dataset": c.outcome.dataset, "regime": c.outcome.regime, "split": c.outcome.split, "system": c.outcome.system, "seed": c.outcome.seed, "measured": c.measured }))
        .collect();
    atomic::write(&folder.join("measured.json"), &json(&measured)?)?;
    write_parquet(&outcomes, &folder.join("results.parquet"))
}

pub(crate) fn json<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|e| BenchError::Usage(format!("a result is no JSON: {e}")))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// One row a cell and reading.
fn write_parquet(outcomes: &[&Outcome], path: &Path) -> Result<()> {
    let lines: Vec<(&Outcome, &Errors)> = outcomes.iter().flat_map(|o| o.errors.iter().map(move |e| (*o, e))).collect();
    let text = |f: &dyn Fn(&Outcome, &Errors) -> String| Arc::new(StringArray::from_iter_values(lines.iter().map(|(o, e)| f(o, e)))) as ArrayRef;
    let number = |f: &dyn Fn(&Outcome, &Errors) -> u64| Arc::new(UInt64Array::from_iter_values(lines.iter().map(|(o, e)| f(o, e)))) as ArrayRef;
    let float = |f: &dyn Fn(&Outcome, &Errors) -> Option<f64>| Arc::new(lines.iter().map(|(o, e)| f(o, e)).collect::<Float64Array>()) as ArrayRef;
    let batch = RecordBatch::try_from_iter([
        ("dataset", text(&|o, _| o.dataset.clone())),
        ("regime", text(&|o, _| o.regime.to_string())),
        ("split", text(&|o, _| o.split.clone())),
        ("system", text(&|o, _| o.system.clone())),
        ("reading", text(&|_, e| e.reading.name().to_owned())),
        ("seed", number(&|o, _| o.seed)),
        ("rmse", float(&|_, e| Some(e.rmse))),
        ("mae", float(&|_, e| Some(e.mae))),
        ("warm_rmse", float(&|_, e| e.warm_rmse)),
        ("rmse_cold_users", float(&|_, e| e.by_activity[0])),
        ("rmse_warm_users", float(&|_, e| e.by_activity[1])),
        ("rmse_hot_users", float(&|_, e| e.by_activity[2])),
        ("train_rows", number(&|o, _| o.train_rows as u64)),
        ("test_rows", number(&|o, _| o.test_rows as u64)),
        ("cold_rows", number(&|o, _| o.cold_rows as u64)),
        ("parameters", number(&|o, _| o.parameters as u64)),
        ("epochs", number(&|o, _| o.epochs as u64)),
        ("weights_sha256", text(&|o, _| o.weights_sha256.clone())),
        ("predictions_sha256", text(&|_, e| e.predictions_sha256.clone())),
    ]);
    let fail = |source| DataError::Parquet { path: path.display().to_string(), source };
    let batch = batch.map_err(|e| fail(e.into()))?;
    Ok(atomic::write_with(path, |file| {
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).map_err(fail)?;
        writer.write(&batch).map_err(fail)?;
        writer.close().map_err(fail)?;
        Ok(())
    })?)
}
