//! Sobol's sequence, Owen-scrambled: draws that cover the space evenly.

use super::{Sampler, Suggestion, Tried, fresh_draw};
use crate::{History, Result, Space, trial_seed};
use rand_chacha::ChaCha8Rng;

/// The scrambled sequence's points in order (Owen 1998; Burley 2020 for the scrambling).
///
/// Its seed is the study's, so that its trials make one sequence; points that break a
/// constraint or were tried already are replaced by random draws.
#[derive(Debug, Clone, Copy)]
pub struct Sobol;

/// Dimensions and points the sequence has.
const DIMENSIONS: usize = 256;
const POINTS: usize = 1 << 16;

/// Point `index` of the sequence under `seed`: `[dimensions]`, each within (0, 1).
pub(crate) fn point(index: usize, dimensions: usize, seed: u64) -> Vec<f64> {
    // Further dimensions are drawn by the same hash, without the sequence's evenness.
    let beyond =
        |dimension: usize| (trial_seed(seed ^ dimension as u64, index) >> 11) as f64 / (1_u64 << 53) as f64;
    let coordinate = |dimension: usize| {
        if dimension < DIMENSIONS && index < POINTS {
            f64::from(sobol_burley::sample(index as u32, dimension as u32, seed as u32))
        } else {
            beyond(dimension)
        }
    };
    (0..dimensions).map(coordinate).collect()
}

impl Sampler for Sobol {
    fn name(&self) -> &'static str {
        "sobol"
    }

    fn suggest(&self, space: &Space, history: &History, rng: &mut ChaCha8Rng) -> Result<Suggestion> {
        let number = history.trials.len();
        let candidate = space.snapped(&point(number, space.len(), history.seed));
        let tried = Tried::new(history);
        let fits = space.feasible(&space.decode(&candidate)) && !tried.holds(&candidate);
        let point = if fits { candidate } else { fresh_draw(space, &tried, rng)? };
        Ok(Suggestion { point, note: Vec::new() })
    }
}
