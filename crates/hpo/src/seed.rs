//! Random numbers: every trial has a generator of its own.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// The seed of trial `number` under the study's seed: every worker that runs the trial has the same.
#[must_use]
pub fn trial_seed(study: u64, number: usize) -> u64 {
    mixed(mixed(study ^ 0x5bd1_e995_9d2c_5681).wrapping_add(number as u64))
}

/// The generator that the sampler draws from for trial `number`.
pub(crate) fn sampler_rng(study: u64, number: usize) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(mixed(trial_seed(study, number) ^ 0x73_616d_706c_6572))
}

/// The finalizer of `SplitMix64`.
fn mixed(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
