//! Grid search: every combination, in order.

use super::{Sampler, Suggestion};
use crate::{History, HpoError, Result, Space};
use rand_chacha::ChaCha8Rng;
use std::collections::HashSet;

/// All combinations of all values; a setting with more than `points` values is tried at `points` places,
/// including both ends.
#[derive(Debug, Clone, Copy)]
pub struct Grid {
    /// Places of a setting without steps, at least 2.
    pub points: usize,
}

impl Default for Grid {
    fn default() -> Self {
        Self { points: 3 }
    }
}

/// Largest number of combinations.
const MOST: usize = 1_000_000;

impl Grid {
    /// All points, settings first in the space changing slowest.
    ///
    /// # Errors
    /// [`HpoError::Usage`] for more than a million combinations.
    pub fn all(&self, space: &Space) -> Result<Vec<Vec<f64>>> {
        let points = self.points.max(2);
        let places: Vec<Vec<f64>> = space
            .parameters()
            .iter()
            .map(|parameter| match parameter.domain.cells() {
                Some(cells) if parameter.domain.is_categorical() || cells <= points => {
                    parameter.domain.places()
                }
                _ => (0..points).map(|p| p as f64 / (points - 1) as f64).collect(),
            })
            .collect();
        let total =
            places.iter().try_fold(1_usize, |product, p| product.checked_mul(p.len()).filter(|p| *p <= MOST));
        let total = total.ok_or_else(|| {
            HpoError::Usage(format!(
                "a grid over this space has more than {MOST} points; take fewer settings or another sampler"
            ))
        })?;
        let mut seen = HashSet::new();
        let point = |mut index: usize| {
            let mut point = vec![0.0; places.len()];
            for (place, coordinate) in places.iter().zip(&mut point).rev() {
                *coordinate = place[index % place.len()];
                index /= place.len();
            }
            space.snapped(&point)
        };
        // Where a setting does not exist, its values make one combination.
        let all =
            (0..total).map(point).filter(|p| space.feasible(&space.decode(p)) && seen.insert(super::key(p)));
        Ok(all.collect())
    }
}

impl Sampler for Grid {
    fn name(&self) -> &'static str {
        "grid"
    }

    fn suggest(&self, space: &Space, history: &History, _: &mut ChaCha8Rng) -> Result<Suggestion> {
        let tried = super::Tried::new(history);
        let next = self.all(space)?.into_iter().find(|point| !tried.holds(point));
        let point =
            next.ok_or_else(|| HpoError::Usage("the grid is exhausted: every combination was tried".into()))?;
        Ok(Suggestion { point, note: Vec::new() })
    }

    /// All trials so far, however they were proposed, and what remains of the grid.
    fn limit(&self, space: &Space, history: &History) -> Option<usize> {
        let tried = super::Tried::new(history);
        let left = self.all(space).ok()?.iter().filter(|point| !tried.holds(point)).count();
        Some(history.trials.len() + left)
    }
}
