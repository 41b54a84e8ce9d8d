//! Simulated histories of any size, for measurements of speed and memory where no real log is at hand.
//!
//! Users come back in sessions; items follow a power law (Zipf 1949); a rating is the item's and the
//! user's level, the match of two taste vectors, the mood of the session, and noise. Times rise within
//! a user. Equal arguments give equal rows, at any number of threads.

use crate::{Histories, rng};
use rand::RngExt;
use rayon::prelude::*;

/// Length of the taste vectors.
const TASTES: usize = 8;
/// Shape of the popularity law: the item of rank `k` is drawn with weight `(k + 10)^-EXPONENT`.
const EXPONENT: f64 = 0.9;

/// Sizes of the simulated log.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Simulation {
    /// Users, each with at least one interaction.
    pub users: usize,
    /// Items.
    pub items: usize,
    /// Interactions in all; at least as many as users.
    pub events: usize,
}

impl Simulation {
    /// The histories under `seed`; ratings are 1 to 5.
    ///
    /// # Panics
    /// Without users or items, or with fewer events than users.
    #[must_use]
    pub fn run(&self, seed: u64) -> Histories {
        assert!(
            self.users > 0 && self.items > 0 && self.events >= self.users,
            "a simulation needs users, items, and an event a user"
        );
        let mut random = rng(seed, "simulation");
        // Lengths spread over two orders of magnitude, as in rating logs.
        let weights: Vec<f64> = (0..self.users).map(|_| (random.random_range(0.0_f64..4.0)).exp()).collect();
        let scale = (self.events - self.users) as f64 / weights.iter().sum::<f64>();
        let mut offsets = vec![0];
        let mut sum = 0.0;
        for (user, weight) in weights.iter().enumerate() {
            sum += weight * scale;
            offsets.push(user + 1 + sum.round() as usize);
        }
        offsets[self.users] = self.events;
        let mut cumulative = Vec::with_capacity(self.items);
        let mut total = 0.0;
        for rank in 0..self.items {
            total += (rank as f64 + 10.0).powf(-EXPONENT);
            cumulative.push(total);
        }
        let (mut items, mut values, mut times) =
            (vec![0; self.events], vec![0.0; self.events], vec![0; self.events]);
        let (mut rest_items, mut rest_values, mut rest_times) =
            (items.as_mut_slice(), values.as_mut_slice(), times.as_mut_slice());
        let mut rows = Vec::with_capacity(self.users);
        for user in 0..self.users {
            let n = offsets[user + 1] - offsets[user];
            let (a, b, c);
            ((a, rest_items), (b, rest_values), (c, rest_times)) =
                (rest_items.split_at_mut(n), rest_values.split_at_mut(n), rest_times.split_at_mut(n));
            rows.push((user, a, b, c));
        }
        rows.into_par_iter().for_each(|(user, items, values, times)| {
            let mut random = rng(seed, &format!("simulated user {user}"));
            let taste: [f64; TASTES] = std::array::from_fn(|_| random.random_range(-1.0..1.0));
            let (level, mut mood) = (random.random_range(3.0..4.2), 0.0);
            let mut now = random.random_range(0..5 * 365 * 86_400_i64);
            for ((item, value), time) in items.iter_mut().zip(values).zip(times) {
                // One gap in ten begins another session, hours to weeks later.
                if random.random_range(0..10) == 0 {
                    now += random.random_range(3_600..30 * 86_400_i64);
                    mood = random.random_range(-0.6..0.6);
                } else {
                    now += random.random_range(1..60);
                }
                *time = now;
                let mark = random.random_range(0.0..total);
                let at = cumulative.partition_point(|c| *c < mark).min(self.items - 1);
                *item = at as u32;
                let of_item = |c: usize| {
                    f64::from(
                        (at as u32)
                            .wrapping_mul(0x9e37_79b9)
                            .wrapping_add((c as u32).wrapping_mul(0x85eb_ca6b))
                            >> 8,
                    ) / 8_388_608.0
                        - 1.0
                };
                let matched: f64 = (0..TASTES).map(|c| taste[c] * of_item(c)).sum();
                let rating =
                    level + mood + 0.8 * matched + 0.5 * of_item(TASTES) + random.random_range(-1.0..1.0);
                *value = rating.round().clamp(1.0, 5.0) as f32;
            }
        });
        Histories::new(offsets, items, values, times, self.items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histories_are_what_was_asked_for() {
        let simulation = Simulation { users: 50, items: 200, events: 5_000 };
        let histories = simulation.run(3);
        assert_eq!((histories.n_users(), histories.n_items(), histories.len()), (50, 200, 5_000));
        assert_eq!(histories, simulation.run(3));
        assert_ne!(histories, simulation.run(4));
        for user in 0..50 {
            let history = histories.user(user);
            assert!(!history.is_empty() && history.timestamps.iter().is_sorted());
        }
        let head = histories.items().iter().filter(|i| **i < 20).count();
        assert!(head > 1_500 && head < 3_500, "a tenth of the items takes a good part of the rows: {head}");
        assert!(histories.values().iter().all(|v| (1.0..=5.0).contains(v)));
    }
}
