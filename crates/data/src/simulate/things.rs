//! Items: genres, levels, tastes, and each item's fame over time.

use super::people::normal;
use super::world::{Effects, Shape};
use crate::rng;
use rand::RngExt;

/// Length of taste vectors.
pub(super) const TASTES: usize = 8;
/// Genres.
pub(super) const GENRES: usize = 18;
/// Days of an era, in which fame and levels are constant.
const ERA: i64 = 45;
/// Share of the items that are there on the first day.
const OLD: f64 = 0.45;

/// All items.
pub(super) struct Things {
    pub genres: Vec<u8>,
    /// `q_i`.
    pub tastes: Vec<[f32; TASTES]>,
    /// Era of release.
    released: Vec<u16>,
    /// `b_i(t)`: `[eras][items]`.
    levels: Vec<f32>,
    /// Sums of fame up to each item: `[eras][items]`.
    fame: Vec<f32>,
    items: usize,
    eras: usize,
    first_day: i64,
}

impl Things {
    pub fn new(shape: &Shape, effects: Effects, seed: u64) -> Self {
        let items = shape.items;
        let eras = ((shape.days.1 - shape.days.0) / ERA + 1) as usize;
        let mut random = rng(seed, "items");
        let centres: Vec<[f64; TASTES]> =
            (0..GENRES).map(|_| std::array::from_fn(|_| 0.26 * normal(&mut random))).collect();
        let mut things = Self {
            genres: Vec::with_capacity(items),
            tastes: Vec::with_capacity(items),
            released: Vec::with_capacity(items),
            levels: vec![0.0; eras * items],
            fame: vec![0.0; eras * items],
            items,
            eras,
            first_day: shape.days.0,
        };
        // Fame falls with rank; ranks are dealt at random, better items a little higher.
        let levels: Vec<f64> = (0..items).map(|_| 0.42 * normal(&mut random)).collect();
        let mut ranks: Vec<usize> = (0..items).collect();
        let chances: Vec<f64> = levels.iter().map(|level| -0.9 * level + normal(&mut random)).collect();
        ranks.sort_unstable_by(|a, b| chances[*a].total_cmp(&chances[*b]));
        let mut fame = vec![0.0; items];
        for (rank, item) in ranks.into_iter().enumerate() {
            // Flat at the head: the first few hundred are about equally famous.
            fame[item] = (rank as f64 + 0.015 * items as f64).powf(-shape.fame);
        }
        for item in 0..items {
            let genre = (random.random::<f64>().powi(2) * GENRES as f64) as usize;
            let taste = std::array::from_fn(|c| (centres[genre][c] + 0.2 * normal(&mut random)) as f32);
            let old = random.random::<f64>() < OLD || !effects.fame;
            let released = if old { 0 } else { random.random_range(0..eras * 9 / 10) };
            let width = 8.0 * (0.6 * normal(&mut random)).exp();
            let mut level = levels[item];
            for era in 0..eras {
                let age = era as f64 - released as f64;
                let shown = match (effects.fame, age < 0.0) {
                    (false, _) => 1.0,
                    (true, true) => 0.0,
                    // An old item's rise is past.
                    (true, false) => {
                        0.35 + if old { 0.0 } else { 2.2 * (age / width + 0.15) * (1.0 - age / width).exp() }
                    }
                };
                if effects.drift {
                    level += 0.03 * normal(&mut random);
                }
                things.levels[era * items + item] = level as f32;
                things.fame[era * items + item] = (fame[item] * shown) as f32;
            }
            things.genres.push(genre as u8);
            things.tastes.push(taste);
            things.released.push(released as u16);
        }
        for era in 0..eras {
            let mut sum = 0.0_f64;
            for fame in &mut things.fame[era * items..(era + 1) * items] {
                sum += f64::from(*fame);
                *fame = sum as f32;
            }
        }
        things
    }

    /// The first day of an item's era of release, in days since 1970.
    pub fn day_of_release(&self, item: usize) -> i64 {
        self.first_day + i64::from(self.released[item]) * ERA
    }

    /// The era of a day.
    pub fn era(&self, day: i64) -> usize {
        (((day - self.first_day) / ERA).max(0) as usize).min(self.eras - 1)
    }

    pub fn level(&self, item: usize, era: usize) -> f64 {
        f64::from(self.levels[era * self.items + item])
    }

    /// An item drawn by its fame in an era.
    pub fn draw(&self, era: usize, random: &mut impl RngExt) -> usize {
        let sums = &self.fame[era * self.items..(era + 1) * self.items];
        let mark = random.random_range(0.0..sums[self.items - 1]);
        sums.partition_point(|sum| *sum <= mark).min(self.items - 1)
    }
}
