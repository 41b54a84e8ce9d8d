//! Biases: damped deviations of users and items from the global mean.
//!
//! `r^_ui = mu + b_u + b_i` (Koren 2010, *Factor in the Neighbors*, section 2.1, equation 1), fitted
//! by alternating between the two closed forms, items first:
//!
//! ```text
//! b_i = sum_{u in R(i)} (r_ui - mu - b_u) / (item_damping + |R(i)|)
//! b_u = sum_{i in R(u)} (r_ui - mu - b_i) / (user_damping + |R(u)|)
//! ```
//!
//! An unknown user or item has the bias 0.

use crate::engine::tensors::{NamedTensor, Tensors};
use crate::error::within;
use crate::model::training_mean;
use crate::{Algorithm, BoxedModel, FitContext, Fitted, ModelSettings, Predictor, Result, state};
use foretaste_data::{Histories, History};

const NAME: &str = "biases";

/// Settings of the biases.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Pull of a user's bias towards 0, in ratings.
    pub user_damping: f64,
    /// Pull of an item's bias towards 0, in ratings.
    pub item_damping: f64,
    /// Number of alternations between the closed forms.
    pub sweeps: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { user_damping: 5.0, item_damping: 5.0, sweeps: 10 }
    }
}

impl Algorithm for Settings {
    const NAME: &'static str = NAME;
    const TITLE: &'static str = "Biases";
    const SEARCH_SPACE: &'static str = include_str!("search.toml");

    fn check(&self) -> Result<()> {
        within(NAME, "user_damping", self.user_damping, 0.01, 1e6)?;
        within(NAME, "item_damping", self.item_damping, 0.01, 1e6)?;
        within(NAME, "sweeps", self.sweeps, 1, 1_000)
    }

    fn fit(&self, train: &Histories, validation: Option<&Histories>, context: &FitContext) -> Result<Fitted> {
        fit(self, train, validation, context)
    }

    fn restore(&self, tensors: &Tensors) -> Result<BoxedModel> {
        Ok(Box::new(Model::restore(self.clone(), tensors)?))
    }
}

/// Fitted biases; also the initial values of other models.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    settings: Settings,
    /// Mean training rating.
    pub mean: f32,
    /// One bias per user.
    pub users: Vec<f32>,
    /// One bias per item.
    pub items: Vec<f32>,
}

/// Fits biases to `train`.
///
/// # Errors
/// [`crate::ModelError::Training`] without training rows or with a row without value.
pub fn fit(settings: &Settings, train: &Histories, _: Option<&Histories>, _: &FitContext) -> Result<Fitted> {
    Ok(Fitted { model: Box::new(estimate(settings, train)?), curve: Vec::new(), best_epoch: 0 })
}

/// The fitted biases with their type.
pub(crate) fn estimate(settings: &Settings, train: &Histories) -> Result<Model> {
    let mean = training_mean(NAME, train)?;
    let mut users = vec![0.0_f64; train.n_users()];
    let mut items = vec![0.0_f64; train.n_items()];
    let mut counts = vec![0.0_f64; train.n_items()];
    for item in train.items() {
        counts[*item as usize] += 1.0;
    }
    let mut sums = vec![0.0_f64; train.n_items()];
    for _ in 0..settings.sweeps {
        sums.fill(0.0);
        for user in 0..train.n_users() {
            let history = train.user(user as u32);
            for (item, value) in history.items.iter().zip(history.values) {
                sums[*item as usize] += f64::from(*value) - f64::from(mean) - users[user];
            }
        }
        for ((bias, sum), count) in items.iter_mut().zip(&sums).zip(&counts) {
            *bias = sum / (settings.item_damping + count);
        }
        for (user, bias) in users.iter_mut().enumerate() {
            let history = train.user(user as u32);
            let sum: f64 = history
                .items
                .iter()
                .zip(history.values)
                .map(|(item, value)| f64::from(*value) - f64::from(mean) - items[*item as usize])
                .sum();
            *bias = sum / (settings.user_damping + history.len() as f64);
        }
    }
    let narrow = |biases: Vec<f64>| biases.into_iter().map(|b| b as f32).collect();
    Ok(Model { settings: settings.clone(), mean, users: narrow(users), items: narrow(items) })
}

impl Model {
    pub(crate) fn restore(settings: Settings, tensors: &Tensors) -> Result<Self> {
        Ok(Self {
            settings,
            mean: tensors.scalar("mean")?,
            users: tensors.values("users", &[None])?,
            items: tensors.values("items", &[None])?,
        })
    }
}

/// The running sum behind `b_u`.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct Running {
    residuals: f64,
    ratings: f64,
    bias: f64,
}

impl Model {
    fn item(&self, item: u32) -> f64 {
        f64::from(self.items.get(item as usize).copied().unwrap_or(0.0))
    }
}

impl Predictor for Model {
    type State = Running;

    fn settings(&self) -> ModelSettings {
        self.settings.clone().into()
    }

    fn parameters(&self) -> usize {
        self.users.len() + self.items.len() + 1
    }

    fn tensors(&self) -> Vec<NamedTensor> {
        vec![
            NamedTensor::scalar("mean", self.mean),
            NamedTensor::new("users", &[self.users.len()], self.users.clone()),
            NamedTensor::new("items", &[self.items.len()], self.items.clone()),
        ]
    }

    /// The closed form over `known`: for a training user the trained bias.
    fn start(&self, _: u32, known: History<'_>) -> Running {
        let mut running = Running::default();
        for row in 0..known.len() {
            self.update(&mut running, known.items[row], known.values[row], known.timestamps.at(row));
        }
        running
    }

    fn update(&self, running: &mut Running, item: u32, value: f32, _: i64) {
        running.residuals += f64::from(value) - f64::from(self.mean) - self.item(item);
        running.ratings += 1.0;
        running.bias = running.residuals / (self.settings.user_damping + running.ratings);
    }

    fn predict(&self, running: &Running, item: u32, _: i64) -> f32 {
        (f64::from(self.mean) + running.bias + self.item(item)) as f32
    }

    fn write_state(&self, running: &Running) -> Vec<u8> {
        state::to_bytes(running)
    }

    fn read_state(&self, bytes: &[u8]) -> Option<Running> {
        state::from_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_forms_by_hand() {
        let train = Histories::new(vec![0, 2, 3], vec![0, 1, 0], vec![5.0, 3.0, 1.0], vec![1, 2, 3], 2);
        let model = estimate(&Settings { user_damping: 1.0, item_damping: 2.0, sweeps: 1 }, &train).unwrap();
        // mu = 3; b_0 = (2 - 2) / 4 = 0; b_1 = 0 / 3; then users: (2 + 0) / 3 and -2 / 2.
        assert_eq!(model.items, [0.0, 0.0]);
        assert!((f64::from(model.users[0]) - 2.0 / 3.0).abs() < 1e-6);
        assert_eq!(model.users[1], -1.0);
    }

    /// At the fixed point the gradient of the regularized squared error vanishes.
    #[test]
    fn sweeps_reach_the_optimum() {
        let train = Histories::new(
            vec![0, 3, 5, 8],
            vec![0, 1, 2, 0, 2, 1, 2, 3],
            vec![5.0, 3.0, 4.0, 1.0, 2.0, 3.0, 5.0, 2.0],
            vec![0; 8],
            4,
        );
        let settings = Settings { user_damping: 3.0, item_damping: 2.0, sweeps: 500 };
        let model = estimate(&settings, &train).unwrap();
        let mut item_gradients: Vec<f64> =
            model.items.iter().map(|b| -settings.item_damping * f64::from(*b)).collect();
        for user in 0..3_u32 {
            let history = train.user(user);
            let mut gradient = -settings.user_damping * f64::from(model.users[user as usize]);
            for (item, value) in history.items.iter().zip(history.values) {
                let error =
                    f64::from(*value - model.mean - model.users[user as usize] - model.items[*item as usize]);
                gradient += error;
                item_gradients[*item as usize] += error;
            }
            assert!(gradient.abs() < 1e-5, "user {user}: {gradient}");
        }
        assert!(item_gradients.iter().all(|g| g.abs() < 1e-5), "{item_gradients:?}");
    }
}
