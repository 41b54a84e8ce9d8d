//! User-kNN: recommends the items of the most similar users.
//!
//! Herlocker, Konstan, Borchers and Riedl 1999, *An Algorithmic Framework for Performing Collaborative
//! Filtering*, on implicit feedback. With `I_u` the distinct items of user `u`:
//!
//! ```text
//! sim(u, v) = |I_u and I_v| / sqrt((|I_u| + k) (|I_v| + k))   score_i = sum_{v in N(u), i in I_v} sim(u, v)
//! ```
//!
//! where `N(u)` are the `neighbours` most similar users of the training part, the user left out, and
//! `k = shrinkage`. A user without rows gets the items' popularity, far below any score.

use crate::engine::tensors::{NamedTensor, Tensors};
use crate::error::within;
use crate::ranking::{RowScorer, begin, by_item, distinct, require_rows};
use crate::{Algorithm, BoxedModel, FitContext, Fitted, ModelSettings, Result};
use foretaste_data::{Histories, History};

const NAME: &str = "user-knn";

/// Settings of user-kNN.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Number of most similar users.
    pub neighbours: usize,
    /// Added to the users' numbers of items.
    pub shrinkage: f32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { neighbours: 200, shrinkage: 10.0 }
    }
}

impl Algorithm for Settings {
    const NAME: &'static str = NAME;
    const TITLE: &'static str = "User-kNN";
    const SEARCH_SPACE: &'static str = include_str!("search.toml");

    fn check(&self) -> Result<()> {
        within(NAME, "neighbours", self.neighbours, 1, 10_000_000)?;
        within(NAME, "shrinkage", self.shrinkage, 0.0, 1e6)
    }

    fn fit(&self, train: &Histories, validation: Option<&Histories>, context: &FitContext) -> Result<Fitted> {
        fit(self, train, validation, context)
    }

    fn restore(&self, tensors: &Tensors) -> Result<BoxedModel> {
        Ok(Box::new(Model::restore(self.clone(), tensors)?))
    }

    fn predicts_ratings(&self) -> bool {
        false
    }
}

/// The training rows, by user and by item.
pub struct Model {
    settings: Settings,
    /// First item of each user in `items`, and the total; items are distinct and ascend.
    user_offsets: Vec<usize>,
    items: Vec<u32>,
    /// First user of each item in `users`, and the total.
    item_offsets: Vec<usize>,
    users: Vec<u32>,
}

/// Stores the rows of `train`.
///
/// # Errors
/// [`crate::ModelError::Training`] without training rows.
pub fn fit(settings: &Settings, train: &Histories, _: Option<&Histories>, _: &FitContext) -> Result<Fitted> {
    require_rows(NAME, train)?;
    let (mut user_offsets, mut items) = (vec![0], Vec::new());
    for user in 0..train.n_users() as u32 {
        items.extend(distinct(train.user(user).items));
        user_offsets.push(items.len());
    }
    Ok(Fitted {
        model: Box::new(Model::new(settings.clone(), user_offsets, items, train.n_items())),
        curve: Vec::new(),
        best_epoch: 0,
    })
}

impl Model {
    pub(crate) fn restore(settings: Settings, tensors: &Tensors) -> Result<Self> {
        let integers = |name: &str| tensors.integers(name);
        let n = integers("n_items")?.first().map_or(0, |n| *n as usize);
        let offsets = integers("user_offsets")?.into_iter().map(|o| o as usize).collect();
        Ok(Self::new(settings, offsets, integers("items")?.into_iter().map(|i| i as u32).collect(), n))
    }

    fn new(settings: Settings, user_offsets: Vec<usize>, items: Vec<u32>, n: usize) -> Self {
        let (item_offsets, entries) = by_item(&user_offsets, &items, n);
        let users = entries.into_iter().map(|(user, _)| user).collect();
        Self { settings, user_offsets, items, item_offsets, users }
    }

    fn n_items(&self) -> usize {
        self.item_offsets.len() - 1
    }

    fn length(&self, user: usize) -> usize {
        self.user_offsets[user + 1] - self.user_offsets[user]
    }
}

impl RowScorer for Model {
    fn settings(&self) -> ModelSettings {
        self.settings.clone().into()
    }

    fn parameters(&self) -> usize {
        self.items.len()
    }

    fn tensors(&self) -> Vec<NamedTensor> {
        vec![
            NamedTensor::integers("n_items", std::iter::once(self.n_items() as i64)),
            NamedTensor::integers("user_offsets", self.user_offsets.iter().map(|o| *o as i64)),
            NamedTensor::integers("items", self.items.iter().map(|i| i64::from(*i))),
        ]
    }

    fn score(&self, user: u32, known: History<'_>, _: i64, out: &mut [f32]) {
        begin(
            out,
            self.item_offsets.windows(2).map(|span| (span[1] - span[0]) as f32 / self.users.len() as f32),
        );
        let mut own = distinct(known.items);
        own.retain(|item| (*item as usize) < self.n_items());
        let mut shared = vec![0_u32; self.user_offsets.len() - 1];
        for item in &own {
            self.users[self.item_offsets[*item as usize]..self.item_offsets[*item as usize + 1]]
                .iter()
                .for_each(|user| shared[*user as usize] += 1);
        }
        let k = self.settings.shrinkage;
        let similar = |(other, shared): (usize, &u32)| {
            let similarity =
                *shared as f32 / ((own.len() as f32 + k) * (self.length(other) as f32 + k)).sqrt();
            (*shared > 0 && other as u32 != user).then_some((other as u32, similarity))
        };
        let mut neighbours: Vec<(u32, f32)> = shared.iter().enumerate().filter_map(similar).collect();
        let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if neighbours.len() > self.settings.neighbours {
            neighbours.select_nth_unstable_by(self.settings.neighbours - 1, order);
            neighbours.truncate(self.settings.neighbours);
        }
        // In one order, so that sums do not depend on how they were selected.
        neighbours.sort_unstable_by(order);
        for (other, similarity) in neighbours {
            let span = self.user_offsets[other as usize]..self.user_offsets[other as usize + 1];
            for item in &self.items[span] {
                if let Some(out) = out.get_mut(*item as usize) {
                    *out += similarity;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    #[test]
    fn scores_by_hand() {
        // Users: {0, 1}, {0, 1, 2}, {1, 3}, {4}.
        let train =
            Histories::new(vec![0, 3, 6, 8, 9], vec![0, 1, 1, 0, 1, 2, 1, 3, 4], vec![1.0; 9], vec![0; 9], 5);
        let score = |neighbours: usize| {
            let settings = Settings { neighbours, shrinkage: 0.0 };
            let model = fit(&settings, &train, None, &FitContext::new(0, &Device::flex())).unwrap().model;
            let mut out = vec![0.0; 5];
            model.scores(&model.start(0, train.user(0)), 0, &mut out);
            out
        };
        let (near, far) = (2.0 / 6.0_f32.sqrt(), 0.5);
        let both = score(10);
        assert!(
            (both[2] - near).abs() < 1e-5
                && (both[3] - far).abs() < 1e-5
                && (both[1] - near - far).abs() < 1e-5,
            "{both:?}"
        );
        assert!(both[4] > 0.0 && both[4] < 1e-5);
        assert!(score(1)[3] < 1e-5, "the nearest alone");
    }
}
