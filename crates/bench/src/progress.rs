//! Observers of a run's progress, which can stop it.

use crate::BenchError;
use crate::grid::Failure;
use crate::results::Cell;
use foretaste_models::{EpochReport, Progress};

/// Observer of a run's cells and rows, and of the epochs of their trainings.
pub trait RunProgress: Progress {
    /// A cell begins; several may run in parallel.
    fn begin(&self, cell: &str);

    /// A cell is done; `headline` summarizes its result.
    fn done(&self, cell: &str, headline: &str);

    /// A cell failed; the run goes on.
    fn failed(&self, failure: &Failure);

    /// The text of an error that fails a cell, in the caller's words.
    fn words(&self, error: BenchError) -> String {
        error.to_string()
    }

    /// A row of a table is complete: the cells of all its seeds are done.
    fn row(&self, name: &str, cells: &[&Cell]);
}

/// Ignores progress and never stops.
pub struct Silent;

impl Progress for Silent {
    fn epoch(&self, _: &'static str, _: &EpochReport) {}

    fn cancelled(&self) -> bool {
        false
    }
}

impl RunProgress for Silent {
    fn begin(&self, _: &str) {}

    fn done(&self, _: &str, _: &str) {}

    fn failed(&self, _: &Failure) {}

    fn row(&self, _: &str, _: &[&Cell]) {}
}
