//! The generative model: sizes, laws and effects, and a world built from them.
//!
//! A rating of item `i` by user `u` at time `t` is the number of cuts below
//!
//! ```text
//! x = b_u + b_i(t) + <p_u(t), q_i> + m_season + m_session + m_burst - f_u,g + s e,      e ~ N(0, 1)
//! ```
//!
//! | term | what | effect |
//! |---|---|---|
//! | `b_u`, `b_i` | levels of users and items | always |
//! | `<p_u, q_i>` | match of tastes; items of a genre have neighbouring `q` | always |
//! | `b_i(t)`, `p_u(t)` | items' levels walk from era to era, tastes from phase to phase of a user's life | `drift` |
//! | `m` | one mood a season, a session and a burst of a few ratings within it | `sessions` |
//! | `f` | dis-interest: a genre's weight sinks with each rating of it in a row, and recovers | `streaks` |
//! | which item | by fame, which rises at an item's release and falls | `fame` |
//! | which item | of two items of equal fame, the better match is more likely | `selection` |
//!
//! Cuts are quantiles of `x`, so that stars are as frequent as published. Given all but `e`, the rating's
//! expectation is a sum of normal probabilities: no model of any kind has a smaller expected squared error
//! than it.

use super::people::{Event, normal};
use super::published::{MOVIELENS_20M, NETFLIX, Published};
use super::things::Things;
use crate::{DataError, Result, rng, stream_seed};
use rayon::prelude::*;

/// Deviation of `e` in `x`.
pub(super) const NOISE: f64 = 1.0;

/// Sizes and laws of a world.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// The data set whose shape it is.
    pub published: Published,
    /// Users, each with at least one rating.
    pub users: usize,
    /// Items.
    pub items: usize,
    /// Ratings in all.
    pub ratings: usize,
    /// First and last day, in days since 1970.
    pub days: (i64, i64),
    /// Whether times are dates alone.
    pub dates: bool,
    /// Share of a user's ratings in the first session, at most.
    pub(super) first_session: f64,
    /// Mean ratings of a later session.
    pub(super) session: f64,
    /// Power by which fame falls with rank.
    pub(super) fame: f64,
}

impl Shape {
    /// The Netflix Prize's training set, `scale` times as many users and ratings.
    ///
    /// # Errors
    /// [`DataError::Setting`] for a scale outside 0.001 to 100.
    pub fn netflix(scale: f64) -> Result<Self> {
        // 1999-11-11 to 2005-12-31.
        Self::scaled(NETFLIX, scale, (10_906, 13_148), true, (0.35, 9.0, 1.55))
    }

    /// `MovieLens` 20M, `scale` times as many users and ratings.
    ///
    /// # Errors
    /// [`DataError::Setting`] for a scale outside 0.001 to 100.
    pub fn movielens_20m(scale: f64) -> Result<Self> {
        // 1995-01-09 to 2015-03-31.
        Self::scaled(MOVIELENS_20M, scale, (9_139, 16_525), false, (0.8, 14.0, 1.75))
    }

    fn scaled(
        published: Published,
        scale: f64,
        days: (i64, i64),
        dates: bool,
        (first_session, session, fame): (f64, f64, f64),
    ) -> Result<Self> {
        if !(0.001..=100.0).contains(&scale) {
            return Err(DataError::Setting(format!("scale {scale} is not between 0.001 and 100")));
        }
        let users = ((published.users as f64 * scale).round() as usize).max(1);
        // A catalogue grows more slowly than its users.
        let items = ((published.items as f64 * scale.min(1.0).sqrt()).round() as usize).max(50);
        let ratings = ((published.ratings() as f64 * scale).round() as usize).max(users);
        Ok(Self { published, users, items, ratings, days, dates, first_session, session, fame })
    }
}

/// Which effects a world has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Effects {
    /// Tastes and levels change.
    pub drift: bool,
    /// Moods last a season, a session, a burst.
    pub sessions: bool,
    /// Dis-interest after a streak.
    pub streaks: bool,
    /// Items' fame rises and falls.
    pub fame: bool,
    /// Users prefer to rate items that match their taste.
    pub selection: bool,
}

impl Effects {
    /// Their names.
    pub const NAMES: [&str; 5] = ["drift", "sessions", "streaks", "fame", "selection"];

    /// All effects.
    #[must_use]
    pub fn all() -> Self {
        Self { drift: true, sessions: true, streaks: true, fame: true, selection: true }
    }

    /// All but those named.
    ///
    /// # Errors
    /// [`DataError::Setting`] for an unknown name.
    pub fn without(names: &[impl AsRef<str>]) -> Result<Self> {
        let mut effects = Self::all();
        for name in names {
            match name.as_ref() {
                "drift" => effects.drift = false,
                "sessions" => effects.sessions = false,
                "streaks" => effects.streaks = false,
                "fame" => effects.fame = false,
                "selection" => effects.selection = false,
                other => {
                    return Err(DataError::Setting(format!(
                        "unknown effect {other:?}; known are {}",
                        Self::NAMES.join(", ")
                    )));
                }
            }
        }
        Ok(effects)
    }
}

/// A world: its users' events depend on it and the seed alone, in whatever order they are requested.
pub struct World {
    /// Its shape.
    pub shape: Shape,
    /// Its effects.
    pub effects: Effects,
    pub(super) seed: u64,
    pub(super) things: Things,
    /// First rating of each user, and the total.
    offsets: Vec<u64>,
    /// `x` above which a rating has one star more.
    pub(super) cuts: Vec<f64>,
}

impl World {
    /// Makes the world of `shape`, with `effects`, under `seed`.
    #[must_use]
    pub fn new(shape: Shape, effects: Effects, seed: u64) -> Self {
        let things = Things::new(&shape, effects, seed);
        let offsets = lengths(&shape, seed);
        let mut world = Self { shape, effects, seed, things, offsets, cuts: Vec::new() };
        world.cuts = world.found_cuts();
        world
    }

    /// Ratings of a user.
    #[must_use]
    pub fn ratings_of(&self, user: usize) -> usize {
        (self.offsets[user + 1] - self.offsets[user]) as usize
    }

    /// The events of several users, each user's in order of time.
    #[must_use]
    pub fn events(&self, users: std::ops::Range<usize>) -> Vec<Vec<Event>> {
        users.into_par_iter().map(|user| self.user(user)).collect()
    }

    /// A user's id in files: sparse and out of order, as in the original.
    #[must_use]
    pub fn user_id(&self, user: usize) -> u32 {
        if self.shape.dates {
            6 + 5 * user as u32
                + (stream_seed(self.seed, "user ids") as u32 ^ (user as u32).wrapping_mul(0x9e37_79b9)) % 5
        } else {
            1 + user as u32
        }
    }

    /// An item's id in files.
    #[must_use]
    pub fn item_id(&self, item: usize) -> u32 {
        if self.shape.dates {
            1 + item as u32
        } else {
            1 + 4 * item as u32 + (item as u32).wrapping_mul(0x85eb_ca6b) % 4
        }
    }

    /// The rating of `x` without its noise, given a standard normal draw, and its expectation.
    pub(super) fn rated(&self, x: f64, draw: f64) -> (f32, f32) {
        let stars = self.shape.published.stars;
        let noisy = x + NOISE * draw;
        let value = stars[self.cuts.iter().take_while(|cut| noisy > **cut).count()].0;
        let steps = self.cuts.iter().zip(stars.windows(2));
        let expected = f64::from(stars[0].0)
            + steps
                .map(|(cut, pair)| f64::from(pair[1].0 - pair[0].0) * above((cut - x) / NOISE))
                .sum::<f64>();
        (value, expected as f32)
    }

    /// Quantiles of `x` with its noise over the first users.
    fn found_cuts(&self) -> Vec<f64> {
        /// Number of ratings sampled.
        const LOOKED_AT: u64 = 300_000;
        let users = self.offsets.partition_point(|offset| *offset < LOOKED_AT).clamp(1, self.shape.users);
        let mut values: Vec<f64> = (0..users)
            .into_par_iter()
            .flat_map_iter(|user| self.latent(user).into_iter().map(|(_, _, x, draw)| x + NOISE * draw))
            .collect();
        values.sort_unstable_by(f64::total_cmp);
        let total = self.shape.published.ratings() as f64;
        let mut below = 0.0;
        let stars = self.shape.published.stars;
        stars[..stars.len() - 1]
            .iter()
            .map(|(_, n)| {
                below += *n as f64 / total;
                values[((values.len() - 1) as f64 * below) as usize]
            })
            .collect()
    }
}

/// Probability that a standard normal variate is above `x`.
fn above(x: f64) -> f64 {
    0.5 * libm::erfc(x * std::f64::consts::FRAC_1_SQRT_2)
}

/// First rating of each user, and the total: lengths are log-normal with the published median and mean,
/// beyond the published least.
fn lengths(shape: &Shape, seed: u64) -> Vec<u64> {
    let least = shape.published.user_least.min((shape.ratings / shape.users) as u64) as f64;
    let mean = shape.ratings as f64 / shape.users as f64;
    let median = (shape.published.user_median.unwrap_or(0.6 * mean) - least + 1.0)
        .clamp(0.1, 0.9 * (mean - least).max(0.2));
    let deviation = (2.0 * ((mean - least).max(0.2) / median).ln()).max(0.0).sqrt();
    let mut random = rng(seed, "activity");
    // Nobody rates nearly everything: who would, rates the rest of the catalogue less.
    let most = 0.7 * shape.items as f64 - least;
    let mut weights: Vec<f64> = (0..shape.users)
        .map(|_| (median * (deviation * normal(&mut random)).exp()).min(most.max(1.0)))
        .collect();
    let free = shape.ratings as f64 - least * shape.users as f64;
    // Capped lengths leave ratings to the others.
    for _ in 0..20 {
        let scale = free / weights.iter().sum::<f64>();
        weights.iter_mut().for_each(|w| *w = (*w * scale).min(most.max(1.0)));
    }
    let (mut offsets, mut sum) = (Vec::with_capacity(shape.users + 1), 0.0);
    offsets.push(0);
    for (user, weight) in weights.iter().enumerate() {
        sum += weight;
        offsets.push((least * (user + 1) as f64 + sum).round() as u64);
    }
    // Everyone has a rating.
    for user in 0..shape.users {
        offsets[user + 1] = offsets[user + 1].max(offsets[user] + 1);
    }
    offsets
}
