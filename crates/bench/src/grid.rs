//! A run's grid: every table's systems and seeds, several cells at a time if that helps, each row reported
//! when it is complete.
//!
//! A small log leaves most of a processor idle: Gibbs chains, and passes too short to be parallelized. Its
//! cells run in parallel, each on its share of the threads, which does not change their results. A large
//! log's cells run one after the other on all threads, so that memory use is that of one.

use crate::dataset::Dataset;
use crate::results::Cell;
use crate::runner::{Prepared, Protocol, table_split};
use crate::systems::System;
use crate::{BenchError, Result};
use foretaste_data::{Regime, SplitRule};
use foretaste_models::ModelError;
use serde::Serialize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Rows up to which a log is small.
const SMALL: usize = 250_000;
/// Largest number of parallel cells of a small log: each holds its own model.
const SIDE_BY_SIDE: usize = 4;
/// Largest number of rows of the splits of all seeds for them to be kept; else a split is repeated for
/// each cell.
const KEPT: usize = 10_000_000;

/// The default number of parallel cells of these logs on `threads` threads.
#[must_use]
pub fn side_by_side(rows: impl IntoIterator<Item = usize>, threads: usize, on_cpu: bool) -> usize {
    let small = on_cpu && rows.into_iter().all(|rows| rows <= SMALL);
    if small { threads.clamp(1, SIDE_BY_SIDE) } else { 1 }
}

/// The systems of one table, each with every seed.
pub struct Table<'a> {
    /// The log.
    pub data: &'a Dataset,
    /// How it is split.
    pub rule: &'a SplitRule,
    /// The rows.
    pub systems: &'a [System],
    /// The seeds of each row.
    pub seeds: &'a [u64],
}

/// What came of the cells of a run.
#[derive(Debug, Default)]
pub struct Run {
    /// The cells that are done, row by row.
    pub cells: Vec<Cell>,
    /// The cells that failed, in the same order.
    pub failures: Vec<Failure>,
}

/// A cell that failed. It costs the run nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Data set.
    pub dataset: String,
    /// Regime.
    pub regime: Regime,
    /// Split, as tables name it.
    pub split: String,
    /// System.
    pub system: String,
    /// Its title.
    pub title: String,
    /// Seed.
    pub seed: u64,
    /// What kind of failure it is.
    pub cause: Cause,
    /// Why it failed.
    pub reason: String,
}

/// Kinds of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// The data lack what the system's settings need; it can run on other data.
    Unserved,
    /// The system cannot be trained on these rows with its settings.
    Training,
    /// The split cannot be made, or leaves nothing to train or test with: so for all of its systems.
    Split,
    /// A search or a file failed.
    Data,
    /// The program panicked.
    Fault,
}

/// The split of one table and seed, as long as cells need it.
struct Slot {
    prepared: Mutex<Option<Arc<Prepared>>>,
    cells_left: AtomicUsize,
}

/// A cell's place.
#[derive(Clone, Copy)]
struct Place {
    table: usize,
    system: usize,
    seed: usize,
}

impl Protocol<'_> {
    /// Runs (or reads from the folder) one cell per table, system and seed, row by row, `jobs` at a time. A
    /// cell that cannot be split, trained or tested is a [`Failure`] beside the others' results.
    ///
    /// # Errors
    /// [`BenchError::Interrupted`] after Ctrl-C; the first error of writing: a full disk fails all that
    /// follows, too. Cells that are done stay in the folder in any case.
    pub fn run(&self, tables: &[Table], jobs: usize) -> Result<Run> {
        let slots: Vec<Vec<Slot>> = tables
            .iter()
            .map(|table| table.seeds.iter().map(|_| Slot::new(table.systems.len())).collect())
            .collect();
        let places: Vec<Place> = (0..tables.len())
            .flat_map(|table| (0..tables[table].systems.len()).map(move |system| (table, system)))
            .flat_map(|(table, system)| {
                (0..tables[table].seeds.len()).map(move |seed| Place { table, system, seed })
            })
            .collect();
        let jobs = jobs.min(places.len());
        let done: Mutex<Vec<Option<Result<Cell, Failure>>>> =
            Mutex::new((0..places.len()).map(|_| None).collect());
        let (next, stopped) = (AtomicUsize::new(0), Mutex::new(None));
        let work = || {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(place) = places.get(at) else { return };
                if locked(&stopped).is_some() {
                    return;
                }
                let table = &tables[place.table];
                match self.settled(table, *place, &slots[place.table][place.seed], jobs) {
                    Ok(cell) => {
                        let mut done = locked(&done);
                        done[at] = Some(cell);
                        self.tell_row(table, &done[at - place.seed..][..table.seeds.len()]);
                    }
                    Err(error) => {
                        locked(&stopped).get_or_insert(error);
                        return;
                    }
                }
            }
        };
        if jobs <= 1 {
            work();
        } else {
            let threads = (rayon::current_num_threads() / jobs).max(1);
            let pool = || {
                rayon::ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .build()
                    .map_err(|e| BenchError::Request(format!("no threads: {e}")))
            };
            let pools = (0..jobs).map(|_| pool()).collect::<Result<Vec<_>>>()?;
            std::thread::scope(|scope| {
                pools.iter().for_each(|pool| drop(scope.spawn(|| pool.install(work))));
            });
        }
        if let Some(error) = stopped.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        let mut run = Run::default();
        for outcome in done.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().flatten() {
            match outcome {
                Ok(cell) => run.cells.push(cell),
                Err(failure) => run.failures.push(failure),
            }
        }
        Ok(run)
    }

    /// A cell, or why it failed.
    ///
    /// # Errors
    /// What ends the whole run: an interruption, or a folder that takes no more files.
    fn settled(
        &self,
        table: &Table,
        place: Place,
        slot: &Slot,
        jobs: usize,
    ) -> Result<Result<Cell, Failure>> {
        // A panic is a fault of ours; it may cost its own cell and nothing else.
        let mut split = false;
        let outcome = catch_unwind(AssertUnwindSafe(|| self.at(table, place, slot, jobs, &mut split)));
        let (reason, cause) = match outcome {
            Ok(Ok(cell)) => return Ok(Ok(cell)),
            Ok(Err(error)) if error.ends_a_run() => return Err(error),
            Ok(Err(BenchError::Model(ModelError::Training { reason, .. }))) => (reason, Cause::Training),
            Ok(Err(BenchError::Model(ModelError::Unserved { reason, .. }))) => (reason, Cause::Unserved),
            Ok(Err(error)) => {
                let cause = if split { Cause::Data } else { Cause::Split };
                (self.progress.words(error).replace("\n  help: ", "; "), cause)
            }
            Err(panic) => (format!("a fault of the program: {}", said(panic.as_ref())), Cause::Fault),
        };
        let system = &table.systems[place.system];
        let failure = Failure {
            dataset: table.data.name.clone(),
            regime: table.rule.regime(),
            split: table_split(table.rule),
            system: system.name.clone(),
            title: system.title.clone(),
            seed: table.seeds[place.seed],
            cause,
            reason,
        };
        self.progress.failed(&failure);
        Ok(Err(failure))
    }

    /// A cell; `split` tells how far it came.
    fn at(&self, table: &Table, place: Place, slot: &Slot, jobs: usize, split: &mut bool) -> Result<Cell> {
        if self.progress.cancelled() {
            return Err(BenchError::Interrupted);
        }
        let seed = table.seeds[place.seed];
        let kept = table.seeds.len() == 1 || table.data.table.len() * table.seeds.len() <= KEPT;
        let prepared = slot.get(|| self.prepare(table.data, table.rule, seed))?;
        *split = true;
        let cell = self.cell_of(table.data, &prepared, &table.systems[place.system], seed, jobs);
        slot.leave(kept);
        cell
    }

    /// Reports a row when its last cell is done.
    fn tell_row(&self, table: &Table, cells: &[Option<Result<Cell, Failure>>]) {
        let row: Vec<&Cell> = cells.iter().flatten().flatten().collect();
        if row.len() == table.seeds.len() {
            let title = table
                .systems
                .iter()
                .find(|s| s.name == row[0].outcome.system)
                .map_or("", |s| s.title.as_str());
            self.progress.row(
                &format!(
                    "{} · {} {} · {title}",
                    table.data.name,
                    table.rule.regime(),
                    table_split(table.rule)
                ),
                &row,
            );
        }
    }
}

impl Slot {
    fn new(cells: usize) -> Self {
        Self { prepared: Mutex::new(None), cells_left: AtomicUsize::new(cells) }
    }

    /// The split, made by `make` if it does not exist. Concurrent callers wait for it.
    fn get(&self, make: impl FnOnce() -> Result<Prepared>) -> Result<Arc<Prepared>> {
        let mut prepared = locked(&self.prepared);
        if let Some(prepared) = &*prepared {
            return Ok(prepared.clone());
        }
        Ok(prepared.insert(Arc::new(make()?)).clone())
    }

    /// A cell is done with it; after the last one, and if splits are not `kept`, it is dropped.
    fn leave(&self, kept: bool) {
        if self.cells_left.fetch_sub(1, Ordering::Relaxed) == 1 || !kept {
            *locked(&self.prepared) = None;
        }
    }
}

/// What a panic said.
fn said(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no words")
}

/// A lock's content, even if poisoned: what a panic leaves behind is whole, a place is written at once.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_logs_alone_run_side_by_side() {
        assert_eq!(side_by_side([100_004], 2, true), 2);
        assert_eq!(side_by_side([100_004], 64, true), SIDE_BY_SIDE);
        assert_eq!(side_by_side([100_004, 1_000_209], 8, true), 1);
        assert_eq!(side_by_side([100_004], 8, false), 1, "a GPU has one queue");
    }
}
