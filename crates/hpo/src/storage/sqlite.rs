//! Studies in an `SQLite` file, for the processes of one machine.

use super::{Journal, failed};
use crate::Result;
use rusqlite::{Connection, ErrorCode, params};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Keeps studies in an `SQLite` file.
///
/// The file must lie on a local disk: the write-ahead log needs shared memory between processes.
pub struct Sqlite {
    path: String,
    connection: Mutex<Connection>,
}

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS foretaste_events (
    study TEXT NOT NULL, place INTEGER NOT NULL, event TEXT NOT NULL,
    PRIMARY KEY (study, place)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS foretaste_beats (
    study TEXT NOT NULL, worker TEXT NOT NULL, beat INTEGER NOT NULL,
    PRIMARY KEY (study, worker)) WITHOUT ROWID;";

impl Sqlite {
    /// Opens the file, or creates it.
    ///
    /// # Errors
    /// [`HpoError::Storage`](crate::HpoError::Storage) where it cannot be opened or is no `SQLite` file.
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let open = || -> rusqlite::Result<Connection> {
            let connection = Connection::open(path)?;
            connection.busy_timeout(Duration::from_mins(1))?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            // An event that was accepted survives a power cut.
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.execute_batch(SCHEMA)?;
            Ok(connection)
        };
        // Changing the journal's mode does not wait for others; a second try finds it changed.
        let mut tries = 0;
        let connection = loop {
            match open() {
                Ok(connection) => break connection,
                Err(e)
                    if tries < 50
                        && matches!(
                            e.sqlite_error_code(),
                            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
                        ) =>
                {
                    tries += 1;
                    std::thread::sleep(Duration::from_millis(100));
                }
                Err(e) => return Err(failed(&name, format!("cannot be opened as an SQLite file: {e}"))),
            }
        };
        Ok(Self { path: name, connection: Mutex::new(connection) })
    }

    fn with<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        work(&connection).map_err(|e| failed(&self.path, e))
    }
}

impl Journal for Sqlite {
    fn address(&self) -> String {
        self.path.clone()
    }

    fn read(&self, study: &str, from: u64) -> Result<Vec<String>> {
        self.with(|c| {
            let mut query = c.prepare_cached(
                "SELECT event FROM foretaste_events WHERE study = ?1 AND place >= ?2 ORDER BY place",
            )?;
            query.query_map(params![study, from as i64], |row| row.get(0))?.collect()
        })
    }

    fn append(&self, study: &str, place: u64, event: &str) -> Result<bool> {
        // A gap would never be filled: an event goes directly after the last one.
        let text = "INSERT INTO foretaste_events SELECT ?1, ?2, ?3 WHERE (SELECT COUNT(*) FROM \
            foretaste_events WHERE study = ?1 AND place = ?2 - 1) = 1 OR ?2 = 0";
        let done =
            self.with(|c| match c.prepare_cached(text)?.execute(params![study, place as i64, event]) {
                Err(rusqlite::Error::SqliteFailure(e, _)) if e.code == ErrorCode::ConstraintViolation => {
                    Ok(0)
                }
                other => other,
            })?;
        Ok(done == 1)
    }

    fn beat(&self, study: &str, worker: &str) -> Result<()> {
        let text = "INSERT INTO foretaste_beats VALUES (?1, ?2, 1) ON CONFLICT (study, worker) DO UPDATE SET \
            beat = beat + 1";
        self.with(|c| c.prepare_cached(text)?.execute(params![study, worker])).map(drop)
    }

    fn beats(&self, study: &str) -> Result<Vec<(String, i64)>> {
        self.with(|c| {
            let mut query = c.prepare_cached(
                "SELECT worker, beat FROM foretaste_beats WHERE study = ?1 ORDER BY worker",
            )?;
            query.query_map(params![study], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        })
    }

    fn studies(&self) -> Result<Vec<String>> {
        self.with(|c| {
            c.prepare("SELECT study FROM foretaste_events WHERE place = 0 ORDER BY study")?
                .query_map([], |row| row.get(0))?
                .collect()
        })
    }
}
