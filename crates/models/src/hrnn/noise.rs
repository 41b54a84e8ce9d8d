//! Dropout (Srivastava et al. 2014) whose masks follow from a counter: the way back draws the same
//! mask as the way there, and neither chunks nor threads decide a bit.

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
        let threshold = (f64::from(share) * 4_294_967_296.0) as u32;
        let keep = 1.0 / (1.0 - share);
        let key = mix(self.seed ^ mix(stream)) as u32;
        for (at, value) in values.iter_mut().enumerate() {
            *value *= if scramble(key ^ (at as u32).wrapping_mul(0x9e37_79b9)) < threshold { 0.0 } else { keep };
        }
    }
}

/// The finalizer of `SplitMix64` (Steele, Lea and Flood 2014).
fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The finalizer of `MurmurHash3` (Appleby, public domain).
fn scramble(x: u32) -> u32 {
    let x = (x ^ (x >> 16)).wrapping_mul(0x85eb_ca6b);
    let x = (x ^ (x >> 13)).wrapping_mul(0xc2b2_ae35);
    x ^ (x >> 16)
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
        let (dropped, mean) = (all.iter().filter(|v| **v == 0.0).count() as f32 / 4e4, all.iter().sum::<f32>() / 4e4);
        assert!((dropped - 0.3).abs() < 0.01 && (mean - 1.0).abs() < 0.02, "{dropped} {mean}");
        let mut both = vec![1.0; 20];
        Noise { input: 0.5, ..noise }.inputs(1, true, 8, &mut both);
        assert_eq!(both[..8], both[8..16], "an embedding and its product lose the same components");
        assert_eq!(both[16..], [1.0; 4]);
    }
}
