//! Rolling Average: the user's running mean, shrunk to the item's and the global mean.
//!
//! ```text
//! m_i    = (sum_{u in R(i)} r_ui + k_i mu) / (|R(i)| + k_i)
//! r^_ui  = (sum_{j in last w of R(u)} r_uj + k_u m_i) / (min(|R(u)|, w) + k_u)
//! ```
//!
//! with `w = window`, `k_u = user_shrinkage`, `k_i = item_shrinkage`. The baseline of both charts of
//! the talk; its exact definition there is not published. A user without ratings gets the
//! item's shrunken mean, an item without ratings the global mean in its place.

use crate::engine::tensors::{NamedTensor, Tensors};
use crate::error::within;
use crate::model::training_mean;
use crate::{Algorithm, BoxedModel, FitContext, Fitted, ModelSettings, Predictor, Result, state};
use foretaste_data::{Histories, History};
use std::collections::VecDeque;

const NAME: &str = "rolling-average";

/// Settings of Rolling Average.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Number of a user's newest ratings that count; 0 for all.
    pub window: usize,
    /// Weight of the item's mean against the user's ratings, in ratings.
    pub user_shrinkage: f64,
    /// Weight of the global mean against the item's ratings, in ratings.
    pub item_shrinkage: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { window: 0, user_shrinkage: 20.0, item_shrinkage: 5.0 }
    }
}

impl Algorithm for Settings {
    const NAME: &'static str = NAME;
    const TITLE: &'static str = "Rolling Average";
    const SEARCH_SPACE: &'static str = include_str!("search.toml");

    fn check(&self) -> Result<()> {
        within(NAME, "window", self.window, 0, 1_000_000)?;
        within(NAME, "user_shrinkage", self.user_shrinkage, 0.01, 1e6)?;
        within(NAME, "item_shrinkage", self.item_shrinkage, 0.01, 1e6)
    }

    fn fit(&self, train: &Histories, validation: Option<&Histories>, context: &FitContext) -> Result<Fitted> {
        fit(self, train, validation, context)
    }

    fn restore(&self, tensors: &Tensors) -> Result<BoxedModel> {
        Ok(Box::new(Model::restore(self.clone(), tensors)?))
    }
}

/// A trained Rolling Average: the shrunken item means.
pub struct Model {
    settings: Settings,
    mean: f32,
    item_means: Vec<f32>,
}

/// Computes item means over `train`.
///
/// # Errors
/// [`crate::ModelError::Training`] without training rows or with a row without value.
pub fn fit(settings: &Settings, train: &Histories, _: Option<&Histories>, _: &FitContext) -> Result<Fitted> {
    let mean = training_mean(NAME, train)?;
    let mut sums = vec![(0.0_f64, 0_u32); train.n_items()];
    for (item, value) in train.items().iter().zip(train.values()) {
        let (sum, count) = &mut sums[*item as usize];
        *sum += f64::from(*value);
        *count += 1;
    }
    let k = settings.item_shrinkage;
    let item_means = sums
        .into_iter()
        .map(|(sum, count)| ((sum + k * f64::from(mean)) / (f64::from(count) + k)) as f32)
        .collect();
    Ok(Fitted {
        model: Box::new(Model { settings: settings.clone(), mean, item_means }),
        curve: Vec::new(),
        best_epoch: 0,
    })
}

impl Model {
    pub(crate) fn restore(settings: Settings, tensors: &Tensors) -> Result<Self> {
        Ok(Self {
            settings,
            mean: tensors.scalar("mean")?,
            item_means: tensors.values("item_means", &[None])?,
        })
    }
}

/// The user's last ratings.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct Recent {
    values: VecDeque<f32>,
    sum: f64,
}

impl Predictor for Model {
    type State = Recent;

    fn settings(&self) -> ModelSettings {
        self.settings.clone().into()
    }

    fn parameters(&self) -> usize {
        self.item_means.len() + 1
    }

    fn tensors(&self) -> Vec<NamedTensor> {
        vec![
            NamedTensor::scalar("mean", self.mean),
            NamedTensor::new("item_means", &[self.item_means.len()], self.item_means.clone()),
        ]
    }

    fn start(&self, _: u32, known: History<'_>) -> Recent {
        let mut recent = Recent::default();
        known.values.into_iter().for_each(|value| self.update(&mut recent, 0, *value, 0));
        recent
    }

    fn update(&self, recent: &mut Recent, _: u32, value: f32, _: i64) {
        recent.values.push_back(value);
        recent.sum += f64::from(value);
        if self.settings.window > 0 && recent.values.len() > self.settings.window {
            recent.sum -= recent.values.pop_front().map_or(0.0, f64::from);
        }
    }

    fn predict(&self, recent: &Recent, item: u32, _: i64) -> f32 {
        let prior = self.item_means.get(item as usize).copied().unwrap_or(self.mean);
        let k = self.settings.user_shrinkage;
        ((recent.sum + k * f64::from(prior)) / (recent.values.len() as f64 + k)) as f32
    }

    fn write_state(&self, recent: &Recent) -> Vec<u8> {
        state::to_bytes(recent)
    }

    fn read_state(&self, bytes: &[u8]) -> Option<Recent> {
        state::from_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Device, Reading};

    #[test]
    fn by_hand() {
        // User 0 rated items 0 and 1 with 5 and 3; user 1 rated item 0 with 1. mu = 3.
        let train = Histories::new(vec![0, 2, 3], vec![0, 1, 0], vec![5.0, 3.0, 1.0], vec![1, 2, 3], 3);
        let device = Device::flex();
        let context = FitContext::new(0, &device);
        let settings = Settings { window: 1, user_shrinkage: 1.0, item_shrinkage: 1.0 };
        let model = fit(&settings, &train, None, &context).unwrap().model;
        let asked = Histories::new(vec![0, 2, 2], vec![2, 0], vec![4.0, 0.0], vec![5, 6], 3);
        // Item 2 has no rating: prior mu = 3; last rating 3: (3 + 3) / 2. Item 0: m = (6 + 3) / 3 = 3.
        assert_eq!(model.ratings().unwrap().predict(&train, &asked, Reading::Frozen), [3.0, 3.0]);
        // After an update with 4 the window holds 4: (4 + 3) / 2.
        assert_eq!(model.ratings().unwrap().predict(&train, &asked, Reading::Streaming), [3.0, 3.5]);
    }
}
