//! Users: when they rate, what they rate, and how.

use super::things::{GENRES, TASTES};
use super::world::World;
use crate::rng;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

/// A rating of a simulated user.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Event {
    /// The item.
    pub item: u32,
    /// Unix seconds.
    pub timestamp: i64,
    /// Stars.
    pub value: f32,
    /// The expected number of stars, given all but the rating's own noise.
    pub expected: f32,
}

/// A standard normal variate.
pub(super) fn normal(random: &mut impl RngExt) -> f64 {
    StandardNormal.sample(random)
}

/// What a rating adds to its genre's weight, and how much of all weights is left after one more.
const WEARINESS: (f64, f64) = (0.16, 0.9);
/// Draws after which a user takes the next item not yet rated.
const DRAWS: usize = 60;

impl World {
    /// A user's events in order of time.
    pub(super) fn user(&self, user: usize) -> Vec<Event> {
        let rated = self.latent(user).into_iter().map(|(item, timestamp, x, draw)| {
            let (value, expected) = self.rated(x, draw);
            Event { item, timestamp, value, expected }
        });
        rated.collect()
    }

    /// A user's items, times, `x` without noise, and the noise's draw.
    pub(super) fn latent(&self, user: usize) -> Vec<(u32, i64, f64, f64)> {
        let mut random = rng(self.seed, &format!("user {user}"));
        let random = &mut random;
        let (effects, things, n) = (self.effects, &self.things, self.ratings_of(user));
        let level = 0.42 * normal(random);
        let mut taste: [f64; TASTES] = std::array::from_fn(|_| 0.75 * normal(random));
        let (mut season, mut session, mut burst) = (0.0, 0.0, 0.0);
        let mut weariness = [0.0; GENRES];
        let mut seen = Seen::new(self.shape.items, n);
        let mut events = Vec::with_capacity(n);
        let (mut left_in_burst, mut now) = (0, 0);
        for Sitting { begin, ratings, new_season } in self.sittings(n, random) {
            if new_season {
                // All are drawn, whatever the effects: a world without one effect is the same in all else.
                season = 0.5 * season + 0.2 * normal(random);
                let step: [f64; TASTES] = std::array::from_fn(|_| 0.18 * normal(random));
                if effects.drift {
                    taste.iter_mut().zip(step).for_each(|(taste, step)| *taste += step);
                }
            }
            session = 0.2 * session + 0.3 * normal(random);
            now = begin.max(now);
            let era = things.era(now / 86_400);
            for _ in 0..ratings {
                if left_in_burst == 0 {
                    left_in_burst = random.random_range(3..9);
                    burst = 0.22 * normal(random);
                }
                left_in_burst -= 1;
                let matched = |item: usize| {
                    taste.iter().zip(&things.tastes[item]).map(|(p, q)| p * f64::from(*q)).sum::<f64>()
                };
                let (first, second) =
                    (seen.unseen(random, |random| things.draw(era, random)), things.draw(era, random));
                let wish = |item: usize| matched(item) - weariness[things.genres[item] as usize];
                let rather = random.random::<f64>() < 0.7;
                let item = if effects.selection && rather && !seen.has(second) && wish(second) > wish(first) {
                    second
                } else {
                    first
                };
                seen.add(item);
                let genre = things.genres[item] as usize;
                let mood = if effects.sessions { season + session + burst } else { 0.0 };
                let x = level + things.level(item, era) + matched(item) + mood - weariness[genre];
                weariness.iter_mut().for_each(|w| *w *= WEARINESS.1);
                if effects.streaks {
                    weariness[genre] += WEARINESS.0;
                }
                let timestamp = if self.shape.dates { now - now.rem_euclid(86_400) } else { now };
                events.push((item as u32, timestamp, x, normal(random)));
                // Seconds between two ratings: a page of them at once, or a look at each.
                now += if random.random::<f64>() < 0.5 {
                    random.random_range(0..6)
                } else {
                    (12.0 * (0.9 * normal(random)).exp()) as i64
                };
            }
        }
        events
    }

    /// A user's sittings in order: their times and numbers of ratings.
    fn sittings(&self, n: usize, random: &mut impl RngExt) -> Vec<Sitting> {
        let shape = &self.shape;
        let (first, last) = (shape.days.0 as f64, shape.days.1 as f64);
        // More and more users come; most leave before the end.
        let arrives = first + (last - first) * random.random::<f64>().powf(0.6);
        let leaves = (arrives + 420.0 * -(1.0 - random.random::<f64>()).ln()).min(last);
        let mut sizes =
            vec![((n as f64 * shape.first_session * random.random::<f64>().sqrt()) as usize).clamp(1, n)];
        let mut left = n - sizes[0];
        while left > 0 {
            let size = (1.0 - shape.session * (1.0 - random.random::<f64>()).ln()) as usize;
            sizes.push(size.clamp(1, left));
            left -= sizes[sizes.len() - 1];
        }
        // Seasons of a few sittings each, a few days apart, at any time of a user's stay.
        let mut times = vec![(arrives, true)];
        while times.len() < sizes.len() {
            let mut day = arrives + (leaves - arrives) * random.random::<f64>();
            for sitting in 0..random.random_range(1..7) {
                if times.len() < sizes.len() {
                    times.push((day.min(last), sitting == 0));
                }
                day += -3.0 * (1.0 - random.random::<f64>()).ln();
            }
        }
        times.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let at = |day: f64| ((day * 86_400.0) as i64).min((shape.days.1 + 1) * 86_400 - 43_200);
        times
            .into_iter()
            .zip(sizes)
            .map(|((day, new_season), ratings)| Sitting { begin: at(day), ratings, new_season })
            .collect()
    }
}

struct Sitting {
    /// Unix seconds.
    begin: i64,
    ratings: usize,
    new_season: bool,
}

/// Items that a user has rated.
enum Seen {
    Few(Vec<u32>),
    Many(Vec<bool>),
}

impl Seen {
    fn new(items: usize, n: usize) -> Self {
        if n < 64 { Self::Few(Vec::with_capacity(n)) } else { Self::Many(vec![false; items]) }
    }

    fn has(&self, item: usize) -> bool {
        match self {
            Self::Few(items) => items.contains(&(item as u32)),
            Self::Many(flags) => flags[item],
        }
    }

    fn add(&mut self, item: usize) {
        match self {
            Self::Few(items) => items.push(item as u32),
            Self::Many(flags) => flags[item] = true,
        }
    }

    /// An item not yet rated: drawn, or after many draws the next one.
    fn unseen<R: RngExt>(&self, random: &mut R, draw: impl Fn(&mut R) -> usize) -> usize {
        let mut item = draw(random);
        for _ in 0..DRAWS {
            if !self.has(item) {
                return item;
            }
            item = draw(random);
        }
        let items = if let Self::Many(flags) = self { flags.len() } else { usize::MAX };
        while self.has(item) {
            item = (item + 1) % items;
        }
        item
    }
}
