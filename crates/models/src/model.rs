//! What every trained model can do: tell what it is, predict ratings, rank items.

use crate::ranking::{ByRating, RankingState, Recommender};
use crate::tensors::NamedTensor;
use crate::{ModelError, ModelSettings, Result};
use foretaste_data::{Histories, History};
use rayon::prelude::*;

/// How a test part is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading {
    /// Only the known ratings are ever known: the published way.
    Frozen,
    /// After each prediction the true rating is revealed and may move that user's state; weights stay.
    Streaming,
}

impl Reading {
    /// Both readings.
    pub const ALL: [Self; 2] = [Self::Frozen, Self::Streaming];

    /// The name in tables and files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Frozen => "frozen",
            Self::Streaming => "streaming",
        }
    }
}

/// What a model knows of one user at one moment.
pub trait UserState {
    /// The expected rating of `item` by this user at `timestamp` (Unix seconds).
    ///
    /// An item without training rows, or beyond the index space, is answered by the model's stated
    /// fallback.
    fn predict(&self, item: u32, timestamp: i64) -> f32;

    /// Takes in one more interaction of this user. Weights never change.
    fn reveal(&mut self, item: u32, value: f32, timestamp: i64);
}

/// A trained model.
pub trait Trained: Send + Sync {
    /// The settings it was trained with.
    fn settings(&self) -> ModelSettings;

    /// Number of trained parameters.
    fn parameters(&self) -> usize;

    /// All weights, by name.
    fn tensors(&self) -> Vec<NamedTensor>;

    /// The model as one of ratings, if it predicts them.
    fn as_rating(&self) -> Option<&dyn RatingModel> {
        None
    }

    /// The model as one that ranks items by what it was trained for, if it does.
    fn as_recommender(&self) -> Option<&dyn Recommender> {
        None
    }
}

impl dyn Trained + '_ {
    /// The model as one of ratings.
    ///
    /// # Errors
    /// [`ModelError::Setting`] for a model that predicts none.
    pub fn ratings(&self) -> Result<&dyn RatingModel> {
        self.as_rating().ok_or_else(|| {
            let reason = "predicts no ratings; take a rating model, or the ranking table (`reproduce ranking`)".into();
            ModelError::Setting { model: self.settings().kind().name(), setting: "objective".into(), reason }
        })
    }

    /// The state from which items are ranked for `user` after the rows `known`: the model's own way, or
    /// for a model of ratings alone by the rating it expects of each item.
    #[must_use]
    pub fn rank<'a>(&'a self, user: u32, known: History<'_>) -> Box<dyn RankingState + 'a> {
        match (self.as_recommender(), self.as_rating()) {
            (Some(recommender), _) => recommender.ranking(user, known),
            (None, Some(ratings)) => Box::new(ByRating(ratings.start(user, known))),
            (None, None) => unreachable!("a model predicts ratings or ranks items"),
        }
    }
}

/// A trained model of ratings.
pub trait RatingModel: Trained {
    /// The state of `user` after the rows `known`, which are those the model was trained on (for a
    /// user of the training part) or those known of a new user.
    fn start<'a>(&'a self, user: u32, known: History<'_>) -> Box<dyn UserState + 'a>;

    /// Predicts the rows `asked` of one user, in time order, into `out`.
    fn predict_user(&self, user: u32, known: History<'_>, asked: History<'_>, reading: Reading, out: &mut [f32]) {
        let mut state = self.start(user, known);
        for (row, out) in out.iter_mut().enumerate() {
            *out = state.predict(asked.items[row], asked.timestamps.at(row));
            // What is revealed after the last row would move nothing.
            if reading == Reading::Streaming && row + 1 < asked.len() {
                state.reveal(asked.items[row], asked.values[row], asked.timestamps.at(row));
            }
        }
    }
}

impl dyn RatingModel + '_ {
    /// Predicts all rows of `asked`, given the rows `known` of the same users, in row order.
    ///
    /// Users are independent and run in parallel; the result does not depend on the number of threads.
    #[must_use]
    pub fn predict(&self, known: &Histories, asked: &Histories, reading: Reading) -> Vec<f32> {
        let mut predictions = vec![0.0; asked.len()];
        let mut rest = predictions.as_mut_slice();
        let mut users = Vec::new();
        for user in 0..asked.n_users() as u32 {
            let (out, tail) = rest.split_at_mut(asked.range(user).len());
            rest = tail;
            if !out.is_empty() {
                users.push((user, out));
            }
        }
        users.into_par_iter().for_each(|(user, out)| self.predict_user(user, known.user(user), asked.user(user), reading, out));
        predictions
    }
}

/// Checks what every rating model needs of its training part and answers the mean rating.
pub(crate) fn training_mean(model: &'static str, train: &Histories) -> Result<f32> {
    let fail = |reason: String| Err(ModelError::Training { model, reason });
    if let Some(row) = train.values().iter().position(|v| !v.is_finite()) {
        return fail(format!("training row {row} has no rating; rating models need an event value in every row"));
    }
    match train.mean() {
        Some(mean) => Ok(mean as f32),
        None => fail("there are no training rows".into()),
    }
}
