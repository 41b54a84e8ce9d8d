//! Random search: independent draws.

use super::{Sampler, Suggestion, Tried, fresh_draw};
use crate::{History, Result, Space};
use rand_chacha::ChaCha8Rng;

/// Draws uniformly from the unit cube, that is, uniformly in logarithms for a logarithmic scale.
#[derive(Debug, Clone, Copy)]
pub struct Random;

impl Sampler for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn suggest(&self, space: &Space, history: &History, rng: &mut ChaCha8Rng) -> Result<Suggestion> {
        Ok(Suggestion { point: fresh_draw(space, &Tried::new(history), rng)?, note: Vec::new() })
    }
}
