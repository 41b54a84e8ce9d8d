//! The settings and their ranges.

use super::fit;
use super::inputs::When;
use super::{Cell, NAME};
use crate::algorithm::part;
use crate::engine::tensors::Tensors;
use crate::error::within;
use crate::{Algorithm, BoxedModel, FitContext, Fitted, ModelError, Result};
use foretaste_data::Histories;

/// How sessions are represented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// As marks among the inputs (Ma and Narayanaswamy 2018).
    Inputs,
    /// As states of their own, which initialize a session's state (Quadrana et al. 2017, HRNN Init).
    Init,
    /// The same, and the lowest of them in every step (HRNN All).
    All,
}

/// What the network is trained for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// The value of the next interaction, given its item and time.
    Rating,
    /// The item of the next interaction, given its time.
    NextItem,
    /// Both, with a share of the loss each.
    Both,
}

/// The loss of the next item against other items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Cross-entropy of a softmax over the next item and the sampled negatives, corrected for the sampling.
    Softmax,
    /// TOP1-max (Hidasi and Karatzoglou 2018).
    Top1Max,
    /// BPR-max (the same).
    BprMax,
}

/// How far a state reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Over all of a user's sessions.
    User,
    /// To the end of a session of the lowest level, as `GRU4Rec`'s (Hidasi et al. 2016).
    Session,
}

/// What the network adds to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stationary {
    /// The mean and the items' biases.
    Biases,
    /// Also factors of the users, trained with the network.
    Factors,
    /// Factorization machines that users fold into rating by rating; where next items are predicted,
    /// as `Biases`: a machine's prediction for an item must not be known before the item is.
    Fm,
}

/// Settings of the HRNN.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What the network is trained for.
    pub objective: Objective,
    /// The loss of the next item against other items (`next-item`, `both`).
    pub loss: Loss,
    /// Sampled negatives per window; all items if there are no more.
    pub negatives: usize,
    /// Power of an item's number of training rows by which it is sampled.
    pub negatives_alpha: f32,
    /// Weight of the negatives' squared scores in the loss (`bpr-max`).
    pub score_penalty: f32,
    /// Share of the rating's squared error in the loss (`both`).
    pub rating_share: f32,
    /// How far a state reaches.
    pub scope: Scope,
    /// How sessions are represented.
    pub form: Form,
    /// Kind of cell.
    pub cell: Cell,
    /// Recurrent layers.
    pub depth: usize,
    /// Hidden units of a layer.
    pub size: usize,
    /// Levels of the session hierarchy: 0 is a flat RNN.
    pub height: usize,
    /// Idle gaps that begin a session, in seconds per level, shortest first.
    pub sessions: Vec<i64>,
    /// Length of an item's embedding and of its decoder factors.
    pub item_factors: usize,
    /// Whether ratings are the network's inputs, or only interactions. The stationary part uses them in any
    /// case.
    pub ratings: bool,
    /// Whether time gaps are inputs.
    pub gaps: bool,
    /// Whether a gate discounts the state by time before it is decoded.
    pub gate: bool,
    /// Whether items have their attributes' vectors added, where the data has attributes.
    pub metadata: bool,
    /// Whether running means of residuals are inputs.
    pub memories: bool,
    /// What the network adds to.
    pub stationary: Stationary,
    /// Factors of a stationary machine (`fm`).
    pub fm_factors: usize,
    /// Gibbs iterations of a stationary machine (`fm`).
    pub fm_iterations: usize,
    /// Number of folds of users, and of machines (`fm`).
    pub fm_folds: usize,
    /// Drift of a user's level in a stationary machine (`fm`).
    pub fm_drift: f32,
    /// Passes over the training rows, at most.
    pub epochs: usize,
    /// Histories in a batch.
    pub rows: usize,
    /// Steps of a history in a batch: how far gradients reach back.
    pub bptt: usize,
    /// Step size of Adam.
    pub learning_rate: f32,
    /// Factor by which the step size changes from epoch to epoch.
    pub decay: f32,
    /// Steps over which the step size grows to its full height.
    pub warm_up: usize,
    /// Gradients are clipped to this norm. 0 for no clipping.
    pub clip: f32,
    /// Decoupled weight decay (Loshchilov and Hutter 2019), in units of the step size: of the items' vectors
    /// that a batch touches, and of all attributes' vectors.
    pub weight_decay: f32,
    /// The same of the users' factors.
    pub user_decay: f32,
    /// Share of the items' embeddings that is dropped from inputs in training.
    pub input_dropout: f32,
    /// Share of the decoded state that is dropped in training.
    pub dropout: f32,
    /// Whether recent interactions count more in training.
    pub recency_mask: bool,
    /// Age at which an interaction counts half, in days (`recency_mask`).
    pub recency_half_life: f32,
    /// Users with shorter histories than this share of users are not trained on.
    pub min_user_history_length_percentile: f32,
    /// Users with longer histories than this share of users are not trained on.
    pub max_user_history_length_percentile: f32,
    /// Epochs without a better validation error before training stops.
    pub patience: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            objective: Objective::Rating,
            loss: Loss::Softmax,
            negatives: 512,
            negatives_alpha: 0.75,
            score_penalty: 1.0,
            rating_share: 0.5,
            scope: Scope::User,
            form: Form::Inputs,
            cell: Cell::Gru,
            depth: 1,
            size: 32,
            height: 2,
            sessions: vec![60, 86_400, 30 * 86_400],
            item_factors: 16,
            ratings: true,
            gaps: true,
            gate: true,
            metadata: true,
            memories: true,
            stationary: Stationary::Fm,
            fm_factors: 32,
            fm_iterations: 128,
            fm_folds: 5,
            fm_drift: 0.002,
            epochs: 3,
            rows: 64,
            bptt: 32,
            learning_rate: 0.002,
            decay: 0.4,
            warm_up: 20,
            clip: 0.0,
            weight_decay: 1.0,
            user_decay: 0.2,
            input_dropout: 0.2,
            dropout: 0.4,
            recency_mask: true,
            recency_half_life: 365.0,
            min_user_history_length_percentile: 0.0,
            max_user_history_length_percentile: 0.99,
            patience: 3,
        }
    }
}

pub(super) fn fail(setting: &str, reason: &str) -> ModelError {
    ModelError::Setting { model: NAME, setting: setting.into(), reason: reason.into() }
}

impl Settings {
    /// Whether the network adds to factorization machines.
    pub(super) fn has_machines(&self) -> bool {
        self.stationary == Stationary::Fm && self.objective == Objective::Rating
    }
}

impl Algorithm for Settings {
    const NAME: &'static str = NAME;
    const TITLE: &'static str = "HRNN, GRU";
    const SEARCH_SPACE: &'static str = include_str!("search.toml");

    fn check(&self) -> Result<()> {
        within(NAME, "depth", self.depth, 1, 16)?;
        within(NAME, "size", self.size, 1, 4096)?;
        within(NAME, "height", self.height, 0, 16)?;
        within(NAME, "item_factors", self.item_factors, 1, 4096)?;
        within(NAME, "fm_factors", self.fm_factors, 1, 4096)?;
        within(NAME, "fm_iterations", self.fm_iterations, 1, 1_000_000)?;
        within(NAME, "fm_folds", self.fm_folds, 2, 100)?;
        within(NAME, "fm_drift", self.fm_drift, 0.0, 10.0)?;
        within(NAME, "negatives", self.negatives, 1, 1_000_000)?;
        within(NAME, "negatives_alpha", self.negatives_alpha, 0.0, 1.0)?;
        within(NAME, "score_penalty", self.score_penalty, 0.0, 100.0)?;
        within(NAME, "rating_share", self.rating_share, 0.0, 1.0)?;
        within(NAME, "epochs", self.epochs, 1, 100_000)?;
        within(NAME, "rows", self.rows, 1, 65_536)?;
        within(NAME, "bptt", self.bptt, 1, 4096)?;
        within(NAME, "learning_rate", self.learning_rate, 1e-6, 1.0)?;
        within(NAME, "decay", self.decay, 0.1, 1.0)?;
        within(NAME, "warm_up", self.warm_up, 1, 1_000_000)?;
        within(NAME, "clip", self.clip, 0.0, 1e6)?;
        within(NAME, "weight_decay", self.weight_decay, 0.0, 10.0)?;
        within(NAME, "user_decay", self.user_decay, 0.0, 100.0)?;
        within(NAME, "input_dropout", self.input_dropout, 0.0, 0.95)?;
        within(NAME, "dropout", self.dropout, 0.0, 0.95)?;
        within(NAME, "recency_half_life", self.recency_half_life, 1e-3, 1e6)?;
        within(
            NAME,
            "min_user_history_length_percentile",
            self.min_user_history_length_percentile,
            0.0,
            1.0,
        )?;
        within(
            NAME,
            "max_user_history_length_percentile",
            self.max_user_history_length_percentile,
            0.0,
            1.0,
        )?;
        within(NAME, "patience", self.patience, 1, 100_000)?;
        if self.height > self.sessions.len() {
            return Err(fail(
                "height",
                &format!("{} levels, and sessions names idle gaps for {}", self.height, self.sessions.len()),
            ));
        }
        if self.min_user_history_length_percentile > self.max_user_history_length_percentile {
            return Err(fail(
                "min_user_history_length_percentile",
                "above max_user_history_length_percentile: no user would remain",
            ));
        }
        if self.cell == Cell::Convolution && self.depth > 10 {
            return Err(fail(
                "depth",
                &format!(
                    "{} layers of convolution reach 2^{} steps back; at most 10 can be",
                    self.depth, self.depth
                ),
            ));
        }
        if self.form != Form::Inputs && (self.depth > 1 || self.cell != Cell::Gru || self.height == 0) {
            return Err(fail(
                "form",
                "sessions' own states (init, all) need cell = \"gru\", depth = 1 and height of 1 at least",
            ));
        }
        if self.scope == Scope::Session && (self.height == 0 || self.form != Form::Inputs) {
            return Err(fail(
                "scope",
                "a state to the end of a session (session) needs form = \"inputs\" and height of 1 at least",
            ));
        }
        When::new(self).map(|_| ())
    }

    fn fit(&self, train: &Histories, validation: Option<&Histories>, context: &FitContext) -> Result<Fitted> {
        fit(self, train, validation, context)
    }

    fn restore(&self, tensors: &Tensors) -> Result<BoxedModel> {
        Ok(Box::new(super::Model::restore(self.clone(), tensors)?))
    }

    fn predicts_ratings(&self) -> bool {
        self.objective != Objective::NextItem
    }

    fn in_standard_units(&self) -> bool {
        self.predicts_ratings()
    }

    fn epochs(&mut self) -> Option<&mut usize> {
        Some(&mut self.epochs)
    }

    fn shorten(&mut self, share: f64) {
        self.epochs = part(self.epochs, share);
        self.fm_iterations = part(self.fm_iterations, share);
    }
}
