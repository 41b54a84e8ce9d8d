//! Storages: one append-only journal of events per study.
//!
//! All that a study is follows from its events in order; a storage only has to keep them, and to take an
//! event at a place exactly once. Workers on any number of machines then agree without more locks: one that
//! finds the place taken reads the new events and decides again. Heartbeats are counters beside it;
//! a worker compares those of others with its own, so that clocks need not agree.

mod memory;
#[cfg(feature = "postgres")]
mod postgresql;
#[cfg(feature = "sqlite")]
mod sqlite;

pub use memory::Memory;
#[cfg(feature = "postgres")]
pub use postgresql::Postgres;
#[cfg(feature = "sqlite")]
pub use sqlite::Sqlite;

use crate::{HpoError, Result};
use std::sync::Arc;

/// Keeps the events of studies.
pub trait Journal: Send + Sync {
    /// Its address, without password.
    fn address(&self) -> String;

    /// The events of `study` from place `from` on, in order.
    ///
    /// # Errors
    /// [`HpoError::Storage`] if the storage does not respond.
    fn read(&self, study: &str, from: u64) -> Result<Vec<String>>;

    /// Puts `event` at `place`; returns whether the place was free. Either the whole event is there
    /// afterwards or nothing.
    ///
    /// # Errors
    /// [`HpoError::Storage`] where the storage does not answer; the event may be there all the same.
    fn append(&self, study: &str, place: u64, event: &str) -> Result<bool>;

    /// Advances the heartbeat counter of `worker`.
    ///
    /// # Errors
    /// [`HpoError::Storage`] if the storage does not respond.
    fn beat(&self, study: &str, worker: &str) -> Result<()>;

    /// The heartbeat counters of a study's workers.
    ///
    /// # Errors
    /// [`HpoError::Storage`] if the storage does not respond.
    fn beats(&self, study: &str) -> Result<Vec<(String, i64)>>;

    /// The names of all studies.
    ///
    /// # Errors
    /// [`HpoError::Storage`] if the storage does not respond.
    fn studies(&self) -> Result<Vec<String>>;
}

/// Opens a storage: `memory`, `postgres://user@host/database`, or the path of an `SQLite` file.
///
/// # Errors
/// [`HpoError::Storage`] where it cannot be opened, [`HpoError::Usage`] where this build lacks it.
pub fn open(address: &str) -> Result<Arc<dyn Journal>> {
    if address == "memory" {
        return Ok(Arc::new(Memory::default()));
    }
    if address.starts_with("postgres://") || address.starts_with("postgresql://") {
        #[cfg(feature = "postgres")]
        return Ok(Arc::new(Postgres::open(address)?));
        #[cfg(not(feature = "postgres"))]
        return Err(HpoError::Usage("this build has no PostgreSQL; build with the feature postgres".into()));
    }
    #[cfg(feature = "sqlite")]
    return Ok(Arc::new(Sqlite::open(std::path::Path::new(
        // As SQLAlchemy and Optuna have it: behind three slashes the path is relative, behind four absolute.
        address.strip_prefix("sqlite:///").or_else(|| address.strip_prefix("sqlite://")).unwrap_or(address),
    ))?));
    #[cfg(not(feature = "sqlite"))]
    Err(HpoError::Usage(format!("{address}: this build has no SQLite; build with the feature sqlite")))
}

/// An error that names the storage and the reason.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
fn failed(address: &str, reason: impl std::fmt::Display) -> HpoError {
    HpoError::Storage { storage: address.to_owned(), reason: reason.to_string() }
}
