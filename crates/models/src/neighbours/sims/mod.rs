//! SIMS: item-to-item similarities from co-occurrences, with time decay.
//!
//! The talk's item-to-item algorithm, with Amazon Personalize's settings, names, defaults and ranges
//! (`aws-sims`), and the talk's extra setting, time decay. A *unit* is a user's history, or a session of it
//! (`sessions`); of an item that a unit holds more than once the newest row counts. For items `i` and `j`,
//! over the units `u` that hold them at times `t_ui` and `t_uj`:
//!
//! ```text
//! c_ij = sum_u 2^(-|t_ui - t_uj| / gap_half_life) 2^(-(T - max(t_ui, t_uj)) / age_half_life)
//! s_i  = sum_u 2^(-(T - t_ui) / age_half_life)                        (T: the newest row that takes part)
//!
//! cosine   c_ij / sqrt((s_i + k) (s_j + k))      jaccard  c_ij / (s_i + s_j - c_ij + k)
//! lift     n c_ij / ((s_i + k) (s_j + k))        log-likelihood   2 (H(rows) + H(columns) - H(table))
//! ```
//!
//! with `k = shrinkage` and `n` the units' weight; the log-likelihood ratio (Dunning 1993, *Accurate Methods
//! for the Statistics of Surprise and Coincidence*) is over the table of units with both, one, or none of the
//! two. Then
//!
//! ```text
//! sim(i, j) = weight(i, j) (s_j / max s)^(1/2 - popularity_discount_factor)
//! ```
//!
//! so that the middle leaves the weight unchanged: towards 0 popular items appear whatever their correlation,
//! towards 1 items appear whatever their popularity. Pairs in fewer than `min_cointeraction_count` units have
//! no similarity; users and items outside the percentiles are excluded.
//!
//! **Scores** for a history sum the similarities to its items, the `d`-th newest weighted by
//! `2^(-d / recency)`; of the newest `history` items. A user without history, like an item outside the
//! percentiles, gets only the items' weights `s_i`, far below any similarity.
//!
//! With one unit per session, `history = 1` and no decay this is the item-kNN that session-based
//! recommenders are compared with (Hidasi et al. 2016, section 4).

mod counts;
#[cfg(feature = "burn")]
mod tiles;

use crate::engine::tensors::{NamedTensor, Tensors};
use crate::error::within;
use crate::ranking::{RowScorer, begin, require_rows};
use crate::{Algorithm, BoxedModel, FitContext, Fitted, ModelError, ModelSettings, Result};
use counts::Units;
use foretaste_data::{Histories, History};

const NAME: &str = "sims";

/// The similarity of items from their co-occurrences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// Of the items' vectors over units.
    Cosine,
    /// Units with both over units with either.
    Jaccard,
    /// Ratio of co-occurrences to those expected by chance.
    Lift,
    /// Log-likelihood ratio against chance.
    LogLikelihood,
}

/// Settings of SIMS.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The similarity of items from their co-occurrences.
    pub weight: Weight,
    /// 0 lets the most popular items appear whatever their correlation, 1 all items whatever their
    /// popularity.
    pub popularity_discount_factor: f64,
    /// Units that a pair of items must share.
    pub min_cointeraction_count: u32,
    /// Time between two interactions at which their pair counts half, in days; 0 for any.
    pub gap_half_life: f64,
    /// Age at which an interaction counts half, in days; 0 for any.
    pub age_half_life: f64,
    /// Added to the items' weights, in units.
    pub shrinkage: f64,
    /// Seconds of idleness that end a session, where sessions are the units; 0 for whole histories.
    pub sessions: i64,
    /// Number of most similar items kept per item; 0 for all.
    pub neighbours: usize,
    /// Number of newest items of a history that recommendations are based on.
    pub history: usize,
    /// Number of items after which an item of the history counts half; 0 for equal weights.
    pub recency: f64,
    /// Users with shorter histories than this share of users are excluded.
    pub min_user_history_length_percentile: f64,
    /// Users with longer histories than this share of users are excluded.
    pub max_user_history_length_percentile: f64,
    /// Items with fewer interactions than this share of items are excluded.
    pub min_item_interaction_count_percentile: f64,
    /// Items with more interactions than this share of items are excluded.
    pub max_item_interaction_count_percentile: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            weight: Weight::Cosine,
            popularity_discount_factor: 0.5,
            min_cointeraction_count: 3,
            gap_half_life: 0.0,
            age_half_life: 0.0,
            shrinkage: 0.0,
            sessions: 0,
            neighbours: 200,
            history: 100,
            recency: 0.0,
            min_user_history_length_percentile: 0.005,
            max_user_history_length_percentile: 0.995,
            min_item_interaction_count_percentile: 0.01,
            max_item_interaction_count_percentile: 0.9,
        }
    }
}

impl Settings {
    /// Halvings a day, of the time between two interactions and of their age.
    fn rates(&self) -> (f32, f32) {
        let rate = |half_life: f64| if half_life > 0.0 { (1.0 / half_life) as f32 } else { 0.0 };
        (rate(self.gap_half_life), rate(self.age_half_life))
    }

    /// Whether time counts.
    fn decays(&self) -> bool {
        self.gap_half_life > 0.0 || self.age_half_life > 0.0
    }
}

impl Algorithm for Settings {
    const NAME: &'static str = NAME;
    const TITLE: &'static str = "SIMS";
    const SEARCH_SPACE: &'static str = include_str!("search.toml");

    fn check(&self) -> Result<()> {
        within(NAME, "popularity_discount_factor", self.popularity_discount_factor, 0.0, 1.0)?;
        within(NAME, "min_cointeraction_count", self.min_cointeraction_count, 0, 10)?;
        within(NAME, "gap_half_life", self.gap_half_life, 0.0, 1e6)?;
        within(NAME, "age_half_life", self.age_half_life, 0.0, 1e6)?;
        within(NAME, "shrinkage", self.shrinkage, 0.0, 1e6)?;
        within(NAME, "sessions", self.sessions, 0, 1_000_000_000)?;
        within(NAME, "neighbours", self.neighbours, 0, 10_000_000)?;
        within(NAME, "history", self.history, 1, 1_000_000)?;
        within(NAME, "recency", self.recency, 0.0, 1e6)?;
        let percentiles = [
            (
                ["min_user_history_length_percentile", "max_user_history_length_percentile"],
                [self.min_user_history_length_percentile, self.max_user_history_length_percentile],
            ),
            (
                ["min_item_interaction_count_percentile", "max_item_interaction_count_percentile"],
                [self.min_item_interaction_count_percentile, self.max_item_interaction_count_percentile],
            ),
        ];
        for (names, values) in percentiles {
            names.iter().zip(values).try_for_each(|(name, value)| within(NAME, name, value, 0.0, 1.0))?;
            if values[0] > values[1] {
                let reason = format!("above {}: nothing would remain", names[1]);
                return Err(ModelError::Setting { model: NAME, setting: names[0].into(), reason });
            }
        }
        Ok(())
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

/// The most similar items of each item.
pub struct Model {
    settings: Settings,
    /// First neighbour of each item, and the total.
    offsets: Vec<usize>,
    /// Neighbours, most similar first.
    neighbours: Vec<u32>,
    similarities: Vec<f32>,
    /// `s_i`, as a share of the highest.
    weights: Vec<f32>,
}

/// Trains SIMS, as a type-erased model.
///
/// # Errors
/// [`ModelError::Training`] without training rows, [`ModelError::Interrupted`] when asked to stop,
/// [`ModelError::Device`] when the device fails.
pub fn fit(
    settings: &Settings,
    train: &Histories,
    _: Option<&Histories>,
    context: &FitContext,
) -> Result<Fitted> {
    Ok(Fitted { model: Box::new(self::train(settings, train, context)?), curve: Vec::new(), best_epoch: 0 })
}

/// Counts who took what with what.
///
/// # Errors
/// Those of [`fit`].
pub fn train(settings: &Settings, train: &Histories, context: &FitContext) -> Result<Model> {
    settings.check()?;
    require_rows(NAME, train)?;
    let units = Units::new(settings, train);
    let lists = units.neighbours(settings, context)?;
    let mut model = Model {
        settings: settings.clone(),
        offsets: vec![0],
        neighbours: Vec::new(),
        similarities: Vec::new(),
        weights: units.shares(),
    };
    for list in lists {
        model.neighbours.extend(list.iter().map(|(item, _)| *item));
        model.similarities.extend(list.iter().map(|(_, similarity)| *similarity));
        model.offsets.push(model.neighbours.len());
    }
    Ok(model)
}

impl Model {
    pub(crate) fn restore(settings: Settings, tensors: &Tensors) -> Result<Self> {
        let offsets: Vec<usize> = tensors.integers("offsets")?.into_iter().map(|o| o as usize).collect();
        let neighbours: Vec<u32> = tensors.integers("neighbours")?.into_iter().map(|n| n as u32).collect();
        let similarities = tensors.values("similarities", &[Some(neighbours.len())])?;
        let weights: Vec<f32> = tensors.values("weights", &[Some(offsets.len().saturating_sub(1))])?;
        Ok(Self { settings, offsets, neighbours, similarities, weights })
    }

    /// The items most similar to `item`, with their similarities, most similar first; empty for an item that
    /// is excluded.
    pub fn similar(&self, item: u32) -> impl Iterator<Item = (u32, f32)> {
        let item = item as usize;
        let span =
            if item + 1 < self.offsets.len() { self.offsets[item]..self.offsets[item + 1] } else { 0..0 };
        self.neighbours[span.clone()].iter().copied().zip(self.similarities[span].iter().copied())
    }
}

impl RowScorer for Model {
    fn settings(&self) -> ModelSettings {
        self.settings.clone().into()
    }

    fn parameters(&self) -> usize {
        self.similarities.len() + self.weights.len()
    }

    fn tensors(&self) -> Vec<NamedTensor> {
        vec![
            NamedTensor::integers("offsets", self.offsets.iter().map(|o| *o as i64)),
            NamedTensor::integers("neighbours", self.neighbours.iter().map(|n| i64::from(*n))),
            NamedTensor::new("similarities", &[self.similarities.len()], self.similarities.clone()),
            NamedTensor::new("weights", &[self.weights.len()], self.weights.clone()),
        ]
    }

    fn score(&self, _: u32, known: History<'_>, _: i64, out: &mut [f32]) {
        begin(out, self.weights.iter().copied());
        for (age, item) in known.items.iter().rev().take(self.settings.history).enumerate() {
            let weight = if self.settings.recency > 0.0 {
                (-(age as f64) / self.settings.recency).exp2() as f32
            } else {
                1.0
            };
            for (item, similarity) in self.similar(*item) {
                if let Some(out) = out.get_mut(item as usize) {
                    *out += weight * similarity;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
