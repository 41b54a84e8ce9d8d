//! Dropout masks of a window.

use crate::engine::noise::Mask;

/// Masks of one window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Noise {
    /// Share of the items' embeddings in `x` that is dropped.
    pub input: f32,
    /// Share of the decoded state that is dropped.
    pub state: f32,
    /// Seed of this window's masks.
    pub seed: u64,
}

impl Noise {
    /// Masks the item part of an entry's `x`: `e` and `v e` lose the same components.
    pub fn inputs(self, entry: usize, ratings: bool, factors: usize, x: &mut [f32]) {
        if self.input > 0.0 {
            let (embedding, rest) = x.split_at_mut(factors);
            self.mask(2 * entry as u64, self.input, embedding);
            if ratings {
                self.mask(2 * entry as u64, self.input, &mut rest[..factors]);
            }
        }
    }

    /// Masks an entry's decoded state.
    pub fn state(self, entry: usize, state: &mut [f32]) {
        if self.state > 0.0 {
            self.mask(2 * entry as u64 + 1, self.state, state);
        }
    }

    fn mask(self, stream: u64, share: f32, values: &mut [f32]) {
        Mask { share, seed: self.seed }.apply(stream, values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_keep_the_mean_and_come_again() {
        let noise = Noise { input: 0.0, state: 0.3, seed: 5 };
        let drawn = |entry: usize| {
            let mut values = vec![1.0; 1000];
            noise.state(entry, &mut values);
            values
        };
        assert_eq!(drawn(3), drawn(3));
        assert_ne!(drawn(3), drawn(4));
        let all: Vec<f32> = (0..40).flat_map(drawn).collect();
        let (dropped, mean) =
            (all.iter().filter(|v| **v == 0.0).count() as f32 / 4e4, all.iter().sum::<f32>() / 4e4);
        assert!((dropped - 0.3).abs() < 0.01 && (mean - 1.0).abs() < 0.02, "{dropped} {mean}");
        let mut both = vec![1.0; 20];
        Noise { input: 0.5, ..noise }.inputs(1, true, 8, &mut both);
        assert_eq!(both[..8], both[8..16], "an embedding and its product lose the same components");
        assert_eq!(both[16..], [1.0; 4]);
    }
}
