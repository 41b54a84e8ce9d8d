//! Who hears how a run gets on, and says when to stop.

use crate::results::Cell;
use foretaste_models::{EpochReport, Progress};

/// Hears of a run's cells and rows, and of the epochs of their trainings.
pub trait RunProgress: Progress {
    /// A cell begins; several may run side by side.
    fn begin(&self, cell: &str);

    /// A cell is done; `headline` says what it came to.
    fn done(&self, cell: &str, headline: &str);

    /// A row of a table is whole: the cells of all its seeds are done.
    fn row(&self, name: &str, cells: &[&Cell]);
}

/// Hears nothing and never stops.
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

    fn row(&self, _: &str, _: &[&Cell]) {}
}
