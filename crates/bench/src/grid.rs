//! A run's grid: every table's systems and seeds, several cells at a time if that helps, each row reported
//! when it is complete.
//!
//! A small log leaves most of a processor idle: Gibbs chains, and passes too short to be parallelized. Its
//! cells run in parallel, each on its share of the threads, which does not change their results. A large
//! log's cells run one after the other on all threads, so that memory use is that of one.

use crate::dataset::Dataset;
use crate::results::Cell;
use crate::runner::{Prepared, Protocol};
use crate::systems::System;
use crate::{BenchError, Result};
use foretaste_data::SplitRule;
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
    /// Runs (or reads from the folder) one cell per table, system and seed, row by row, `jobs` at a time; the
    /// cells come back in that order.
    ///
    /// # Errors
    /// [`BenchError::Interrupted`] after Ctrl-C; or the first error of splitting, training or writing. Cells
    /// that are done stay in the folder in any case.
    pub fn run(&self, tables: &[Table], jobs: usize) -> Result<Vec<Cell>> {
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
        let done: Mutex<Vec<Option<Cell>>> = Mutex::new((0..places.len()).map(|_| None).collect());
        let (next, failed) = (AtomicUsize::new(0), Mutex::new(None));
        let work = || {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(place) = places.get(at) else { return };
                if locked(&failed).is_some() {
                    return;
                }
                match self.at(&tables[place.table], *place, &slots[place.table][place.seed], jobs) {
                    Ok(cell) => {
                        let mut done = locked(&done);
                        done[at] = Some(cell);
                        self.tell_row(
                            &tables[place.table],
                            &done[at - place.seed..][..tables[place.table].seeds.len()],
                        );
                    }
                    Err(error) => {
                        locked(&failed).get_or_insert(error);
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
            let pools = (0..jobs.min(places.len())).map(|_| pool()).collect::<Result<Vec<_>>>()?;
            std::thread::scope(|scope| {
                pools.iter().for_each(|pool| drop(scope.spawn(|| pool.install(work))));
            });
        }
        if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        Ok(done.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().flatten().collect())
    }

    fn at(&self, table: &Table, place: Place, slot: &Slot, jobs: usize) -> Result<Cell> {
        if self.progress.cancelled() {
            return Err(BenchError::Interrupted);
        }
        let seed = table.seeds[place.seed];
        let kept = table.seeds.len() == 1 || table.data.table.len() * table.seeds.len() <= KEPT;
        let prepared = slot.get(|| self.prepare(table.data, table.rule, seed))?;
        let cell = self.cell_of(table.data, &prepared, &table.systems[place.system], seed, jobs);
        slot.leave(kept);
        cell
    }

    /// Reports a row when its last cell is done.
    fn tell_row(&self, table: &Table, cells: &[Option<Cell>]) {
        let row: Vec<&Cell> = cells.iter().flatten().collect();
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
                    crate::runner::table_split(table.rule)
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

/// A lock's content, even if poisoned: a thread that panicked ends the run anyway.
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
