//! Studies in memory, which last as long as the process.

use super::Journal;
use crate::Result;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Keeps studies in memory.
#[derive(Debug, Default)]
pub struct Memory(Mutex<BTreeMap<String, Kept>>);

#[derive(Debug, Default)]
struct Kept {
    events: Vec<String>,
    beats: BTreeMap<String, i64>,
}

impl Memory {
    fn kept(&self) -> MutexGuard<'_, BTreeMap<String, Kept>> {
        // A panic elsewhere leaves whole events: each is pushed at once.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal for Memory {
    fn address(&self) -> String {
        "memory".into()
    }

    fn read(&self, study: &str, from: u64) -> Result<Vec<String>> {
        Ok(self
            .kept()
            .get(study)
            .map_or_else(Vec::new, |kept| kept.events.get(from as usize..).unwrap_or_default().to_vec()))
    }

    fn append(&self, study: &str, place: u64, event: &str) -> Result<bool> {
        let mut all = self.kept();
        let events = &mut all.entry(study.to_owned()).or_default().events;
        let free = events.len() as u64 == place;
        if free {
            events.push(event.to_owned());
        }
        Ok(free)
    }

    fn beat(&self, study: &str, worker: &str) -> Result<()> {
        *self.kept().entry(study.to_owned()).or_default().beats.entry(worker.to_owned()).or_default() += 1;
        Ok(())
    }

    fn beats(&self, study: &str) -> Result<Vec<(String, i64)>> {
        Ok(self.kept().get(study).map_or_else(Vec::new, |kept| kept.beats.clone().into_iter().collect()))
    }

    fn studies(&self) -> Result<Vec<String>> {
        Ok(self
            .kept()
            .iter()
            .filter(|(_, kept)| !kept.events.is_empty())
            .map(|(name, _)| name.clone())
            .collect())
    }
}
