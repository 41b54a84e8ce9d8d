//! Every random choice of the project comes from a named stream of one seeded generator.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// The generator of stream `name` under `seed`: `ChaCha8`, equal on every machine.
///
/// Streams with different names are independent, so that a new random choice somewhere never changes
/// the numbers drawn elsewhere.
#[must_use]
pub fn rng(seed: u64, name: &str) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(stream_seed(seed, name))
}

/// The seed of stream `name` under `seed` (FNV-1a over the name, mixed with the seed).
#[must_use]
pub fn stream_seed(seed: u64, name: &str) -> u64 {
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let mut z = hash ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
