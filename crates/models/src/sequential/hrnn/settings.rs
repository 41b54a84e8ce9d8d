//! The settings and their ranges.

use super::{NAME, fit, model::Model};
use crate::algorithm::part;
use crate::engine::tensors::Tensors;
use crate::error::within;
use crate::{Algorithm, BoxedModel, FitContext, Fitted, ModelError, Result};
use foretaste_data::Histories;

/// Levels at most.
pub(super) const HEIGHT: usize = 4;

/// Units of the correction's layer.
pub(super) const UNITS: usize = 8;

/// Training rows up to which `auto` takes items' vectors from their raters: sums over all raters cost a step
/// as much as the filter there, and more beyond.
const FEW: usize = 3_000_000;

/// Where an item's vector comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Items {
    /// Raters up to three million training rows, else free vectors.
    Auto,
    /// Sums over the users who rated it.
    Raters,
    /// Free parameters.
    Free,
}

/// Settings of the HRNN.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Tastes: length of an item's vector.
    pub size: usize,
    /// Levels of the hierarchy, of a user's rating level: one that hardly moves, one of a sitting and the
    /// next days, one of some rows, one of a few.
    pub height: usize,
    /// Layers of the learned correction: 0 is a linear filter.
    pub depth: usize,
    /// Units of the rating scale's bend.
    pub bend: usize,
    /// Where an item's vector comes from.
    pub items: Items,
    /// Length of a rater's two vectors (`raters`).
    pub raters: usize,
    /// Rank of what items add to the bag of rated items.
    pub bag: usize,
    /// Parts of the log's time, each with a level of its own of every item, near its neighbours'; 0 for none.
    pub item_bins: usize,
    /// Kinds of items: a streak of one kind says something of the next of it; 0 for no streaks.
    pub kinds: usize,
    /// Idle gaps in seconds that part the classes of drift, shortest first.
    pub gaps: Vec<i64>,
    /// Whether users' attributes say what is expected of them and items' attributes add to their vectors,
    /// where the data has attributes.
    pub metadata: bool,
    /// Passes over the training rows.
    pub epochs: usize,
    /// Rows of a step, at most.
    pub batch: usize,
    /// Steps of a pass, at least, where histories allow.
    pub steps: usize,
    /// Highest step size of Adam; it sinks along a cosine to a twentieth.
    pub learning_rate: f32,
    /// Steps over which the step size grows to its full height.
    pub warm_up: usize,
    /// Of a history in training, up to this share of the ratings is not taken in.
    pub update_dropout: f32,
    /// Share of the histories in training of which nothing is taken in: rows of users without a past.
    pub blind: f32,
    /// Weight of the priors: of items' biases, and of all penalties below.
    pub prior: f32,
    /// Penalty of raters' vectors.
    pub rater_penalty: f32,
    /// Penalty of free vectors.
    pub vector_penalty: f32,
    /// Penalty of what items add to the bag.
    pub bag_penalty: f32,
    /// Penalty of the items' noise.
    pub noise_penalty: f32,
    /// Penalty of the change of an item's level from one part of the time to the next.
    pub bin_penalty: f32,
    /// Penalty of attributes' vectors.
    pub attribute_penalty: f32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            size: 16,
            height: 3,
            depth: 1,
            bend: 4,
            items: Items::Auto,
            raters: 16,
            bag: 16,
            item_bins: 0,
            kinds: 8,
            gaps: vec![5, 60, 600, 7200, 86_400, 259_200, 1_209_600, 2_592_000, 7_776_000],
            metadata: true,
            epochs: 8,
            batch: 65_536,
            steps: 48,
            learning_rate: 0.02,
            warm_up: 20,
            update_dropout: 0.8,
            blind: 0.1,
            prior: 1.5,
            rater_penalty: 100.0,
            vector_penalty: 50.0,
            bag_penalty: 50.0,
            noise_penalty: 10.0,
            bin_penalty: 100.0,
            attribute_penalty: 20.0,
        }
    }
}

impl Settings {
    /// Width of the raters' vectors for this many training rows; 0 for free vectors.
    pub(super) fn width(&self, rows: usize) -> usize {
        match self.items {
            Items::Free => 0,
            Items::Auto if rows > FEW => 0,
            Items::Auto | Items::Raters => self.raters,
        }
    }

    /// Rows of a step.
    pub(super) fn rows(&self, train: usize) -> usize {
        self.batch.min((train / self.steps).max(512))
    }

    /// The class of an idle gap: the number of gaps that it reaches.
    pub(super) fn gap(&self, seconds: i64) -> u8 {
        self.gaps.partition_point(|gap| *gap <= seconds) as u8
    }
}

impl Algorithm for Settings {
    const NAME: &'static str = NAME;
    const TITLE: &'static str = "HRNN";
    const SEARCH_SPACE: &'static str = include_str!("search.toml");

    fn check(&self) -> Result<()> {
        within(NAME, "size", self.size, 1, 256)?;
        within(NAME, "height", self.height, 1, HEIGHT)?;
        within(NAME, "depth", self.depth, 0, 1)?;
        within(NAME, "raters", self.raters, 1, 1024)?;
        within(NAME, "bag", self.bag, 0, 1024)?;
        within(NAME, "item_bins", self.item_bins, 0, 4096)?;
        within(NAME, "kinds", self.kinds, 0, 256)?;
        within(NAME, "bend", self.bend, 0, 64)?;
        within(NAME, "bin_penalty", self.bin_penalty, 0.0, 1e6)?;
        within(NAME, "epochs", self.epochs, 1, 100_000)?;
        within(NAME, "batch", self.batch, 1, 1 << 24)?;
        within(NAME, "steps", self.steps, 1, 1 << 24)?;
        within(NAME, "learning_rate", self.learning_rate, 1e-6, 1.0)?;
        within(NAME, "warm_up", self.warm_up, 1, 1_000_000)?;
        within(NAME, "update_dropout", self.update_dropout, 0.0, 1.0)?;
        within(NAME, "blind", self.blind, 0.0, 1.0)?;
        within(NAME, "prior", self.prior, 0.0, 1e6)?;
        within(NAME, "rater_penalty", self.rater_penalty, 0.0, 1e6)?;
        within(NAME, "vector_penalty", self.vector_penalty, 0.0, 1e6)?;
        within(NAME, "bag_penalty", self.bag_penalty, 0.0, 1e6)?;
        within(NAME, "noise_penalty", self.noise_penalty, 0.0, 1e6)?;
        within(NAME, "attribute_penalty", self.attribute_penalty, 0.0, 1e6)?;
        let ascend = self.gaps.windows(2).all(|pair| pair[0] < pair[1]);
        if self.gaps.len() > 64 || !ascend || self.gaps.first().is_some_and(|gap| *gap < 1) {
            let reason = "must be at most 64 numbers of seconds, from 1, each more than the one before";
            return Err(ModelError::Setting { model: NAME, setting: "gaps".into(), reason: reason.into() });
        }
        Ok(())
    }

    fn fit(&self, train: &Histories, validation: Option<&Histories>, context: &FitContext) -> Result<Fitted> {
        fit(self, train, validation, context)
    }

    fn restore(&self, tensors: &Tensors) -> Result<BoxedModel> {
        Ok(Box::new(Model::restore(self.clone(), tensors)?))
    }

    fn in_standard_units(&self) -> bool {
        true
    }

    /// The step size's cosine ends with the last pass: there is no earlier one to stop at.
    fn epochs(&mut self) -> Option<&mut usize> {
        None
    }

    fn shorten(&mut self, share: f64) {
        self.epochs = part(self.epochs, share);
    }
}
