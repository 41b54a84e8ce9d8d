//! Mood: an item's mean rating, shifted by the distance of a user's last ratings from the means of the items
//! rated.

use foretaste_data::{Histories, History};
use foretaste_models::prelude::*;

/// Settings of Mood.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Weight of the global mean in every item's mean, in ratings.
    pub damping: f64,
    /// Ratings after which an old one counts half.
    pub half_life: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { damping: 5.0, half_life: 20.0 }
    }
}

impl Algorithm for Settings {
    const NAME: &'static str = "mood";
    const TITLE: &'static str = "Mood";
    const SEARCH_SPACE: &'static str = "
        damping = { type = \"float\", low = 0.5, high = 50.0, log = true }
        half_life = { type = \"float\", low = 1.0, high = 200.0, log = true }
    ";

    fn check(&self) -> Result<()> {
        within(Self::NAME, "damping", self.damping, 0.01, 1e6)?;
        within(Self::NAME, "half_life", self.half_life, 0.1, 1e6)
    }

    fn fit(&self, train: &Histories, _: Option<&Histories>, _: &FitContext) -> Result<Fitted> {
        let fail = |reason: &str| ModelError::Training { model: Self::NAME, reason: reason.into() };
        let mean = train
            .mean()
            .filter(|mean| mean.is_finite())
            .ok_or_else(|| fail("a row has no rating, or none is there"))?;
        let mut sums = vec![(self.damping * mean, self.damping); train.n_items()];
        for (item, value) in train.items().iter().zip(train.values()) {
            let (sum, count) = &mut sums[*item as usize];
            (*sum, *count) = (*sum + f64::from(*value), *count + 1.0);
        }
        let items = sums.into_iter().map(|(sum, count)| (sum / count) as f32).collect();
        let model = Model { settings: self.clone(), mean: mean as f32, items };
        Ok(Fitted { model: Box::new(model), curve: Vec::new(), best_epoch: 0 })
    }

    fn restore(&self, tensors: &Tensors) -> Result<BoxedModel> {
        let (mean, items) = (tensors.scalar("mean")?, tensors.values("items", &[None])?);
        Ok(Box::new(Model { settings: self.clone(), mean, items }))
    }
}

/// Every item's mean.
pub struct Model {
    settings: Settings,
    mean: f32,
    items: Vec<f32>,
}

impl Model {
    fn item(&self, item: u32) -> f32 {
        self.items.get(item as usize).copied().unwrap_or(self.mean)
    }
}

/// A user's mood: the weighted sum of residuals, and the weights' sum.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct Mood {
    residuals: f32,
    weight: f32,
}

impl Predictor for Model {
    type State = Mood;

    fn settings(&self) -> ModelSettings {
        self.settings.clone().into()
    }

    fn parameters(&self) -> usize {
        self.items.len() + 1
    }

    fn tensors(&self) -> Vec<NamedTensor> {
        vec![
            NamedTensor::scalar("mean", self.mean),
            NamedTensor::new("items", &[self.items.len()], self.items.clone()),
        ]
    }

    fn start(&self, _: u32, known: History<'_>) -> Mood {
        let mut mood = Mood::default();
        (0..known.len()).for_each(|row| self.update(&mut mood, known.items[row], known.values[row], 0));
        mood
    }

    fn update(&self, mood: &mut Mood, item: u32, value: f32, _: i64) {
        let decay = (-1.0 / self.settings.half_life).exp2() as f32;
        mood.residuals = decay * mood.residuals + value - self.item(item);
        mood.weight = decay * mood.weight + 1.0;
    }

    fn predict(&self, mood: &Mood, item: u32, _: i64) -> f32 {
        self.item(item) + mood.residuals / (mood.weight + 1.0)
    }

    fn write_state(&self, mood: &Mood) -> Vec<u8> {
        state::to_bytes(mood)
    }

    fn read_state(&self, bytes: &[u8]) -> Option<Mood> {
        state::from_bytes(bytes)
    }
}
