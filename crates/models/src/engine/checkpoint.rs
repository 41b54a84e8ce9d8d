//! Checkpoints, from which interrupted trainings resume.
//!
//! A checkpoint is one safetensors file (weights, optimizer state, the best epoch's weights) and one
//! JSON file with the curve, in a folder of the caller's. The JSON holds the hash of all that
//! determines the training and of the tensors it belongs to, so that a checkpoint of something else,
//! or an incomplete one, is never used.

use crate::engine::tensors::{self, NamedTensor, Tensors};
use crate::fit::EarlyStopping;
use crate::{EpochReport, FitContext, ModelError, ModelSettings, Result};
use foretaste_data::{Histories, atomic, hex};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::cell::Cell;
use std::path::PathBuf;
use std::time::{Duration, Instant};

#[derive(Serialize, Deserialize)]
struct State {
    key: String,
    tensors: String,
    curve: Vec<EpochReport>,
}

/// The checkpoint of one training; does nothing if the caller gave no folder.
pub(crate) struct Checkpoint {
    files: Option<(PathBuf, PathBuf)>,
    key: String,
    every: Duration,
    last: Cell<Instant>,
    /// How long the last write took: large checkpoints are written less often.
    cost: Cell<Duration>,
}

impl Checkpoint {
    /// The checkpoint of training `settings` on `train` (and `validation`) under the context's seed and
    /// device.
    pub fn new(
        settings: &ModelSettings,
        train: &Histories,
        validation: Option<&Histories>,
        context: &FitContext,
    ) -> Self {
        let Some(folder) = context.checkpoint else {
            return Self {
                files: None,
                key: String::new(),
                every: Duration::MAX,
                last: Cell::new(Instant::now()),
                cost: Cell::default(),
            };
        };
        let mut hasher = Sha256::new();
        hasher.update(settings.to_toml());
        hasher.update(context.seed.to_le_bytes());
        hasher.update(context.device.name());
        for part in [Some(train), validation].into_iter().flatten() {
            part.feed(&mut |bytes| hasher.update(bytes));
        }
        for (tag, attributes) in [(b'u', context.user_attributes), (b'i', context.item_attributes)] {
            hasher.update([tag]);
            attributes.iter().for_each(|attributes| attributes.feed(&mut |bytes| hasher.update(bytes)));
        }
        if let Some(membership) = context.membership {
            membership.offsets().iter().for_each(|offset| hasher.update((*offset as u64).to_le_bytes()));
            membership.items().iter().for_each(|item| hasher.update(item.to_le_bytes()));
        }
        let files = Some((folder.join("checkpoint.json"), folder.join("checkpoint.safetensors")));
        Self {
            files,
            key: hex(&hasher.finalize()),
            every: context.checkpoint_every,
            last: Cell::new(Instant::now()),
            cost: Cell::default(),
        }
    }

    /// The last epoch's tensors and curve, if there is a complete checkpoint of this very training.
    pub fn load(&self) -> Option<(Tensors, EarlyStopping)> {
        let (state, tensors) = self.files.as_ref()?;
        let state: State = serde_json::from_slice(&std::fs::read(state).ok()?).ok()?;
        if state.key != self.key || state.tensors != tensors::hash_file(tensors).ok()? {
            return None;
        }
        tracing::info!("resuming after epoch {}", state.curve.len());
        Some((tensors::read(tensors).ok()?, EarlyStopping { curve: state.curve }))
    }

    /// Writes the state after an epoch, unless the last one was written a moment ago. The JSON file,
    /// written last, makes it valid.
    pub fn store(
        &self,
        tensors: impl FnOnce() -> Result<Vec<NamedTensor>>,
        stopping: &EarlyStopping,
    ) -> Result<()> {
        let Some((state_path, tensors_path)) = &self.files else { return Ok(()) };
        // Checkpoints take at most a twentieth of the time, unless each epoch was requested.
        let pause = if self.every.is_zero() { self.every } else { self.every.max(self.cost.get() * 20) };
        if self.last.get().elapsed() < pause {
            return Ok(());
        }
        let clock = Instant::now();
        let state = State {
            key: self.key.clone(),
            tensors: tensors::write_file(&tensors()?, tensors_path)?,
            curve: stopping.curve.clone(),
        };
        let json = serde_json::to_vec(&state).map_err(|e| ModelError::saved(state_path, e.to_string()))?;
        atomic::write(state_path, &json)?;
        self.last.set(Instant::now());
        self.cost.set(clock.elapsed());
        Ok(())
    }

    /// Removes the checkpoint of a finished training.
    pub fn remove(&self) {
        if let Some((state, tensors)) = &self.files {
            // Nothing depends on them any more; a file that is left over is never used.
            let _ = std::fs::remove_file(state);
            let _ = std::fs::remove_file(tensors);
        }
    }
}
