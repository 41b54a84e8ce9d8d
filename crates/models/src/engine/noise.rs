//! Dropout (Srivastava et al. 2014) whose masks depend on a counter: the backward pass draws the same
//! mask as the forward pass, and neither chunks nor threads change a bit.

/// Masks under one seed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mask {
    /// Share of the values that is dropped.
    pub share: f32,
    pub seed: u64,
}

impl Mask {
    /// Factor of the values that are kept.
    pub fn keep(self) -> f32 {
        1.0 / (1.0 - self.share)
    }

    /// Drops some of `values` and scales the others, by the mask of number `stream`.
    pub fn apply(self, stream: u64, values: &mut [f32]) {
        if self.share == 0.0 {
            return;
        }
        let threshold = (f64::from(self.share) * 4_294_967_296.0) as u32;
        let keep = self.keep();
        let key = mix(self.seed ^ mix(stream)) as u32;
        for (at, value) in values.iter_mut().enumerate() {
            *value *=
                if scramble(key ^ (at as u32).wrapping_mul(0x9e37_79b9)) < threshold { 0.0 } else { keep };
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
