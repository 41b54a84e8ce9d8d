//! Samplers propose the next trial, given the earlier ones.
//!
//! A sampler keeps nothing between calls: a proposal is a function of the space, the history and the
//! trial's own random numbers, so that any worker may make it.

mod auto;
mod gp;
mod grid;
mod random;
mod sobol;
#[cfg(test)]
mod tests;
mod tpe;

pub use auto::Auto;
pub use gp::GaussianProcess;
pub use grid::Grid;
pub use random::Random;
pub use sobol::Sobol;
pub use tpe::Tpe;

use crate::{History, HpoError, Result, Space};
use rand_chacha::ChaCha8Rng;
use std::collections::HashSet;
use std::str::FromStr;

/// What a sampler proposes.
#[derive(Debug, Clone, PartialEq)]
pub struct Suggestion {
    /// A point of the unit cube (`[settings]`), snapped; the space decodes it.
    pub point: Vec<f64>,
    /// What the sampler stores with the trial for later calls.
    pub note: Vec<f64>,
}

/// Proposes trials.
pub trait Sampler: Send + Sync {
    /// Its name in arguments and files.
    fn name(&self) -> &'static str;

    /// The next proposal. `history` holds all trials so far; `rng` is the next trial's own.
    ///
    /// # Errors
    /// [`HpoError::Space`] if the constraints leave no point, [`HpoError::Usage`] if the sampler cannot
    /// work with the space.
    fn suggest(&self, space: &Space, history: &History, rng: &mut ChaCha8Rng) -> Result<Suggestion>;

    /// The largest possible number of trials; `None` if there is no limit.
    fn limit(&self, _space: &Space, _history: &History) -> Option<usize> {
        None
    }
}

/// The samplers by name.
pub const NAMES: [&str; 6] = ["auto", "gp", "tpe", "sobol", "random", "grid"];

impl FromStr for Box<dyn Sampler> {
    type Err = HpoError;

    fn from_str(name: &str) -> Result<Self> {
        Ok(match name {
            "auto" => Box::new(Auto::default()),
            "gp" => Box::new(GaussianProcess::default()),
            "tpe" => Box::new(Tpe::default()),
            "sobol" => Box::new(Sobol),
            "random" => Box::new(Random),
            "grid" => Box::new(Grid::default()),
            _ => {
                return Err(HpoError::Usage(format!(
                    "unknown sampler {name:?}; known are {}",
                    NAMES.join(", ")
                )));
            }
        })
    }
}

/// The points tried already, so that a space with few values does not repeat one.
pub(crate) struct Tried(HashSet<Vec<u64>>);

impl Tried {
    pub(crate) fn new(history: &History) -> Self {
        Self(history.points.iter().map(|point| key(point)).collect())
    }

    pub(crate) fn holds(&self, point: &[f64]) -> bool {
        self.0.contains(&key(point))
    }
}

fn key(point: &[f64]) -> Vec<u64> {
    point.iter().map(|x| if x.is_nan() { u64::MAX } else { (x * 1e12) as u64 }).collect()
}

/// A draw that was not tried yet, if one is found within a few draws.
pub(crate) fn fresh_draw(space: &Space, tried: &Tried, rng: &mut ChaCha8Rng) -> Result<Vec<f64>> {
    let mut point = space.draw(rng)?;
    for _ in 0..50 {
        if !tried.holds(&point) {
            break;
        }
        point = space.draw(rng)?;
    }
    Ok(point)
}

#[cfg(test)]
pub(crate) fn test_rng(seed: u64) -> ChaCha8Rng {
    crate::seed::sampler_rng(seed, 0)
}
