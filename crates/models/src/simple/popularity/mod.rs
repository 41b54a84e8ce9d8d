//! Popularity: the most popular items overall or recently, or the user's own most frequent items.
//!
//! ```text
//! share_i = sum_{rows of i} 2^(-age / half_life) / the same over all rows   (age: from the newest row)
//! score_i = own_i + share_i
//! ```
//!
//! where `own_i` counts the user's own rows of `i`: none of them (`by = "everyone"`), all of them (`"user"`:
//! the personal popularity of Quadrana et al. 2017) or those of the current session (`"session"`: the session
//! popularity of Hidasi et al. 2016). A user without rows gets the overall popularity; an item without
//! training rows has the share 0.

use crate::engine::tensors::{NamedTensor, Tensors};
use crate::error::within;
use crate::ranking::{RowScorer, require_rows};
use crate::{Algorithm, BoxedModel, FitContext, Fitted, ModelSettings, Result};
use foretaste_data::{Histories, History};

const NAME: &str = "popularity";

/// Whose rows are counted first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// All users' alike.
    Everyone,
    /// The user's own.
    User,
    /// The user's own rows of the current session.
    Session,
}

/// Settings of Popularity.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Whose rows are counted first.
    pub by: By,
    /// Age at which a row counts half, in days; 0 for equal weights.
    pub half_life: f64,
    /// Seconds of idleness that end a session (`session`).
    pub idle: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { by: By::Everyone, half_life: 0.0, idle: 1800 }
    }
}

impl Algorithm for Settings {
    const NAME: &'static str = NAME;
    const TITLE: &'static str = "Popularity";
    const SEARCH_SPACE: &'static str = include_str!("search.toml");

    fn check(&self) -> Result<()> {
        within(NAME, "half_life", self.half_life, 0.0, 1e6)?;
        within(NAME, "idle", self.idle, 1, 1_000_000_000)
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

    fn needs_times(&self) -> bool {
        self.half_life > 0.0 || self.by == By::Session
    }
}

/// Each item's share of the rows.
pub struct Model {
    settings: Settings,
    shares: Vec<f32>,
}

/// Counts the rows of `train`.
///
/// # Errors
/// [`crate::ModelError::Training`] without training rows.
pub fn fit(settings: &Settings, train: &Histories, _: Option<&Histories>, _: &FitContext) -> Result<Fitted> {
    require_rows(NAME, train)?;
    let newest = train.timestamps().iter().max().unwrap_or(0);
    let mut counts = vec![0.0_f64; train.n_items()];
    for (item, timestamp) in train.items().iter().zip(train.timestamps()) {
        let days = (newest - timestamp) as f64 / 86_400.0;
        counts[*item as usize] +=
            if settings.half_life > 0.0 { (-days / settings.half_life).exp2() } else { 1.0 };
    }
    let total: f64 = counts.iter().sum();
    let shares = counts.into_iter().map(|count| (count / total) as f32).collect();
    Ok(Fitted {
        model: Box::new(Model { settings: settings.clone(), shares }),
        curve: Vec::new(),
        best_epoch: 0,
    })
}

impl Model {
    pub(crate) fn restore(settings: Settings, tensors: &Tensors) -> Result<Self> {
        Ok(Self { settings, shares: tensors.values("shares", &[None])? })
    }
}

impl RowScorer for Model {
    fn settings(&self) -> ModelSettings {
        self.settings.clone().into()
    }

    fn parameters(&self) -> usize {
        self.shares.len()
    }

    fn tensors(&self) -> Vec<NamedTensor> {
        vec![NamedTensor::new("shares", &[self.shares.len()], self.shares.clone())]
    }

    fn score(&self, _: u32, known: History<'_>, timestamp: i64, out: &mut [f32]) {
        out.fill(0.0);
        out.iter_mut().zip(&self.shares).for_each(|(out, share)| *out = *share);
        let mut next = timestamp;
        for (item, time) in known.items.iter().zip(known.timestamps).rev() {
            match self.settings.by {
                By::Everyone => return,
                By::Session if next - time > self.settings.idle => return,
                By::Session | By::User => {}
            }
            next = time;
            if let Some(out) = out.get_mut(*item as usize) {
                *out += 1.0;
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
        const DAY: i64 = 86_400;
        let train =
            Histories::new(vec![0, 3, 4], vec![0, 1, 1, 0], vec![1.0; 4], vec![0, DAY, 2 * DAY, 2 * DAY], 3);
        let device = Device::flex();
        let scores = |by: By, half_life: f64, known: History<'_>, now: i64| {
            let model = fit(
                &Settings { by, half_life, ..Settings::default() },
                &train,
                None,
                &FitContext::new(0, &device),
            )
            .unwrap()
            .model;
            let mut out = vec![9.0; 3];
            model.scores(&model.start(0, known), now, &mut out);
            out
        };
        let nobody = History::default();
        assert_eq!(scores(By::Everyone, 0.0, nobody, 0), [0.5, 0.5, 0.0]);
        // Weights 1/4 and 1 of item 0, 1/2 and 1 of item 1.
        assert_eq!(scores(By::Everyone, 1.0, train.user(0), 0), [1.25_f32 / 2.75, 1.5 / 2.75, 0.0]);
        assert_eq!(scores(By::User, 0.0, train.user(0), 2 * DAY), [1.5, 2.5, 0.0]);
        assert_eq!(scores(By::Session, 0.0, train.user(0), 2 * DAY), [0.5, 1.5, 0.0]);
        assert_eq!(scores(By::Session, 0.0, train.user(0), 3 * DAY), [0.5, 0.5, 0.0]);
    }
}
