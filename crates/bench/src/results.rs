//! Results of cells, their files, and their aggregation over seeds.
//!
//! Results determined by settings, seed and data ([`Outcome`]) are separate from measurements of
//! the run ([`Measured`]): the former are equal to the byte however often a run is interrupted.

use crate::grid::Run;
use crate::{BenchError, Result};
use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt64Array};
use foretaste_data::{DataError, Regime, atomic, hex};
use foretaste_metrics::mean_and_deviation;
use foretaste_models::{EpochReport, Reading};
use parquet::arrow::ArrowWriter;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
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
    /// RMSE over test rows whose user and item have training rows; `None` without such rows.
    pub warm_rmse: Option<f64>,
    /// RMSE by the user's activity ([`ACTIVITY`]); `None` without such rows.
    pub by_activity: [Option<f64>; 3],
    /// SHA-256 of the predictions.
    pub predictions_sha256: String,
}

/// Figures of the ranked lists of one reading of the test part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// How the test part was read.
    pub reading: Reading,
    /// Number of lists.
    pub lists: usize,
    /// Means over the lists and figures over all of them, by name.
    pub metrics: Vec<(String, f64)>,
    /// SHA-256 of the lists.
    pub lists_sha256: String,
    /// Lists per second, as measured.
    #[serde(skip)]
    pub lists_per_second: f64,
}

impl Figures {
    /// Figures rounded to as many decimals as a JSON reader reproduces exactly; `lists` as bytes.
    #[must_use]
    pub fn new(
        reading: Reading,
        lists: usize,
        metrics: Vec<(String, f64)>,
        bytes: &[u8],
        lists_per_second: f64,
    ) -> Self {
        let metrics = metrics.into_iter().map(|(name, value)| (name, stated(value))).collect();
        Self { reading, lists, metrics, lists_sha256: hex(&Sha256::digest(bytes)), lists_per_second }
    }
}

/// Ten decimals, which a JSON reader reproduces exactly, because a cell read back must equal itself.
pub(crate) fn stated(figure: f64) -> f64 {
    (figure * 1e10).round() / 1e10
}

/// Users by their number of training rows: name, fewest, most.
pub const ACTIVITY: [(&str, usize, usize); 3] =
    [("cold", 0, 19), ("warm", 20, 199), ("hot", 200, usize::MAX)];

/// Sums by user, for comparisons over users.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ByUser {
    /// Users with test rows, ascending.
    pub users: Vec<u32>,
    /// Test rows (or lists) of each, one column per reading.
    pub rows: Vec<Vec<u32>>,
    /// Sum of squared errors (or of the lists' NDCG@10) of each, one column per reading.
    pub sums: Vec<Vec<f64>>,
}

/// A cell's outcome, which depends on settings, seed and data alone.
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
    /// For a simulated log, the lowest RMSE that any model can expect over the test rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lowest_rmse: Option<f64>,
    /// Test rows by the user's activity ([`ACTIVITY`]).
    pub activity_rows: [usize; 3],
    /// Whether the system knew the users and items of the test rows.
    pub transductive: bool,
    /// Trained parameters.
    pub parameters: usize,
    /// Epochs of the final training; 0 for models without epochs.
    pub epochs: usize,
    /// SHA-256 of the weights.
    pub weights_sha256: String,
    /// Errors of predicted ratings, one entry per reading; empty if items are ranked.
    pub errors: Vec<Errors>,
    /// Figures of ranked lists, one entry per reading; empty if ratings are predicted.
    pub figures: Vec<Figures>,
    /// Learning curve: the training that chose the number of epochs, if there was one.
    pub curve: Vec<EpochReport>,
}

/// Measurements of a cell's run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Device of the training.
    pub device: String,
    /// Seconds of the final training.
    pub train_seconds: f64,
    /// Training rows times epochs per second.
    pub events_per_second: f64,
    /// Seconds of choosing the number of epochs.
    pub selection_seconds: f64,
    /// Seconds of predicting, both readings together.
    pub predict_seconds: f64,
    /// Ranked lists per second, streaming; `None` if ratings are predicted.
    pub lists_per_second: Option<f64>,
    /// Peak resident memory of the process while the cell ran, in MB; `None` if other cells ran in parallel.
    pub peak_memory_mb: Option<u64>,
    /// Number of cells that ran in parallel.
    pub jobs: usize,
    /// Threads of this cell.
    pub threads: usize,
}

/// A finished cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Hash of everything that determines the outcome.
    pub key: String,
    /// The outcome.
    pub outcome: Outcome,
    /// The measurements.
    pub measured: Measured,
    /// Sums by user.
    pub by_user: ByUser,
}

/// The cells of one system in one table.
pub struct Row<'a> {
    /// The cells, one per seed.
    pub cells: Vec<&'a Cell>,
}

impl Row<'_> {
    /// Mean and deviation over seeds of `f` over the errors of `reading`.
    #[must_use]
    pub fn errors(&self, reading: Reading, f: impl Fn(&Errors) -> f64) -> Option<(f64, f64)> {
        let values: Vec<f64> = self
            .cells
            .iter()
            .flat_map(|c| &c.outcome.errors)
            .filter(|e| e.reading == reading)
            .map(f)
            .collect();
        (!values.is_empty()).then(|| mean_and_deviation(&values))
    }

    /// Mean and deviation over seeds of a figure of ranked lists.
    #[must_use]
    pub fn figure(&self, reading: Reading, name: &str) -> Option<(f64, f64)> {
        let figures = self.cells.iter().flat_map(|c| &c.outcome.figures).filter(|f| f.reading == reading);
        let values: Vec<f64> =
            figures.flat_map(|f| &f.metrics).filter(|(n, _)| n == name).map(|(_, value)| *value).collect();
        (!values.is_empty()).then(|| mean_and_deviation(&values))
    }

    /// Mean over seeds of the lowest RMSE that any model can expect, for a simulated log.
    #[must_use]
    pub fn lowest_rmse(&self) -> Option<f64> {
        let values: Vec<f64> = self.cells.iter().filter_map(|c| c.outcome.lowest_rmse).collect();
        (!values.is_empty()).then(|| mean_and_deviation(&values).0)
    }

    /// Mean over seeds of a measurement.
    #[must_use]
    pub fn measured(&self, f: impl Fn(&Measured) -> f64) -> f64 {
        mean_and_deviation(&self.cells.iter().map(|c| f(&c.measured)).collect::<Vec<_>>()).0
    }

    /// Largest peak memory over seeds, in MB.
    #[must_use]
    pub fn peak_memory_mb(&self) -> Option<u64> {
        self.cells.iter().filter_map(|c| c.measured.peak_memory_mb).max()
    }

    /// The outcome of the first seed, for figures that all seeds share.
    #[must_use]
    pub fn first(&self) -> &Outcome {
        &self.cells[0].outcome
    }
}

/// Groups cells into rows by system, in order of first occurrence.
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
/// settings and device), `measured.json`, and `failures.json` where a cell failed.
///
/// # Errors
/// [`BenchError::Data`] when a file cannot be written.
pub fn write(run: &Run, folder: &Path) -> Result<()> {
    let cells = &run.cells;
    let failures = folder.join("failures.json");
    if run.failures.is_empty() {
        // Those of an earlier run in this folder are mended.
        let _ = std::fs::remove_file(&failures);
    } else {
        atomic::write(&failures, &json(&run.failures)?)?;
    }
    let outcomes: Vec<&Outcome> = cells.iter().map(|c| &c.outcome).collect();
    atomic::write(&folder.join("results.json"), &json(&outcomes)?)?;
    let measured: Vec<_> = cells
        .iter()
        .map(|c| {
            serde_json::json!({ "dataset": c.outcome.dataset, "regime": c.outcome.regime,
            "split": c.outcome.split, "system": c.outcome.system, "seed": c.outcome.seed,
                "measured": c.measured })
        })
        .collect();
    atomic::write(&folder.join("measured.json"), &json(&measured)?)?;
    write_parquet(&outcomes, &folder.join("results.parquet"))
}

/// A value as indented JSON with a line end.
///
/// # Errors
/// [`BenchError::Request`] for values that JSON cannot represent.
pub fn json<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value)
        .map_err(|e| BenchError::Request(format!("a result cannot be written as JSON: {e}")))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// One row per cell, reading and figure.
fn write_parquet(outcomes: &[&Outcome], path: &Path) -> Result<()> {
    let mut lines: Vec<(&Outcome, Reading, String, Option<f64>)> = Vec::new();
    for outcome in outcomes {
        for e in &outcome.errors {
            let named = [("RMSE", Some(e.rmse)), ("MAE", Some(e.mae)), ("RMSE warm rows", e.warm_rmse)];
            let by_activity = ACTIVITY
                .iter()
                .zip(e.by_activity)
                .map(|((name, ..), value)| (format!("RMSE {name} users"), value));
            let all = named.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(by_activity);
            lines.extend(all.map(|(name, value)| (*outcome, e.reading, name, value)));
        }
        for f in &outcome.figures {
            lines.extend(
                f.metrics.iter().map(|(name, value)| (*outcome, f.reading, name.clone(), Some(*value))),
            );
        }
    }
    let text = |f: &dyn Fn(&Outcome) -> String| {
        Arc::new(StringArray::from_iter_values(lines.iter().map(|(o, ..)| f(o)))) as ArrayRef
    };
    let number = |f: &dyn Fn(&Outcome) -> u64| {
        Arc::new(UInt64Array::from_iter_values(lines.iter().map(|(o, ..)| f(o)))) as ArrayRef
    };
    let batch = RecordBatch::try_from_iter([
        ("dataset", text(&|o| o.dataset.clone())),
        ("regime", text(&|o| o.regime.to_string())),
        ("split", text(&|o| o.split.clone())),
        ("system", text(&|o| o.system.clone())),
        ("seed", number(&|o| o.seed)),
        (
            "reading",
            Arc::new(StringArray::from_iter_values(lines.iter().map(|(_, reading, ..)| reading.name())))
                as ArrayRef,
        ),
        (
            "metric",
            Arc::new(StringArray::from_iter_values(lines.iter().map(|(_, _, name, _)| name))) as ArrayRef,
        ),
        ("value", Arc::new(lines.iter().map(|(.., value)| *value).collect::<Float64Array>()) as ArrayRef),
        ("train_rows", number(&|o| o.train_rows as u64)),
        ("test_rows", number(&|o| o.test_rows as u64)),
        ("cold_rows", number(&|o| o.cold_rows as u64)),
        ("parameters", number(&|o| o.parameters as u64)),
        ("epochs", number(&|o| o.epochs as u64)),
        ("weights_sha256", text(&|o| o.weights_sha256.clone())),
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
/// A cell of made-up figures over two users, for tests.
#[doc(hidden)]
#[must_use]
pub fn sample_cell(system: &str, seed: u64, rmse: f64) -> Cell {
    let errors = |reading| Errors {
        reading,
        rmse,
        mae: rmse - 0.2,
        warm_rmse: None,
        by_activity: [None, Some(rmse), Some(rmse - 0.02)],
        predictions_sha256: String::new(),
    };
    Cell {
        key: String::new(),
        outcome: Outcome {
            dataset: "ml-1m".into(),
            regime: Regime::Random,
            split: "90/10".into(),
            system: system.into(),
            seed,
            train_rows: 900_189,
            test_rows: 100_020,
            cold_rows: 21,
            lowest_rmse: None,
            activity_rows: [0, 40_000, 60_020],
            transductive: system == "fm",
            parameters: 1_234_567,
            epochs: 3,
            weights_sha256: String::new(),
            errors: Reading::ALL.map(errors).to_vec(),
            figures: Vec::new(),
            curve: Vec::new(),
        },
        measured: Measured {
            device: "flex".into(),
            train_seconds: 1.5,
            events_per_second: 2e6,
            selection_seconds: 1.0,
            predict_seconds: 0.1,
            lists_per_second: None,
            peak_memory_mb: Some(120),
            jobs: 1,
            threads: 2,
        },
        by_user: ByUser {
            users: vec![0, 3],
            rows: vec![vec![40_000, 60_020]; 2],
            sums: vec![vec![rmse * rmse * 40_000.0, rmse * rmse * 60_020.0]; 2],
        },
    }
}
