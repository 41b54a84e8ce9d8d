//! The interface of trained models: describe themselves, predict ratings, rank items, and hold each user as a
//! value.

use crate::engine::tensors::NamedTensor;
use crate::ranking::InnerProducts;
use crate::state::UserState;
use crate::{ModelError, ModelSettings, Result};
use foretaste_data::{Histories, History, Timestamps, Values};
use rayon::prelude::*;

/// How test rows are predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading {
    /// Predictions use only the known ratings: the published protocol.
    Frozen,
    /// After each prediction the true rating updates that user's state; weights are unchanged.
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

/// A trained model, as its author implements it. [`Trained`] is its type-erased form, which all other code
/// uses.
///
/// A state is what the model knows of one user at one moment: a value outside the model, so that a service
/// can keep, copy, store and restore millions of them beside one model.
pub trait Predictor: Send + Sync + 'static {
    /// The state of one user at one moment.
    type State: Clone + Send + Sync + 'static;

    /// The settings it was trained with.
    fn settings(&self) -> ModelSettings;

    /// Number of trained parameters.
    fn parameters(&self) -> usize;

    /// All weights, by name: what [`crate::Algorithm::restore`] builds the model from.
    fn tensors(&self) -> Vec<NamedTensor>;

    /// Whether [`predict`](Self::predict) is supported: as [`crate::Algorithm::predicts_ratings`] of the
    /// settings.
    fn rates(&self) -> bool {
        true
    }

    /// Whether [`scores`](Self::scores) is what the model was trained for. All others rank by expected
    /// rating.
    fn ranks(&self) -> bool {
        !self.rates()
    }

    /// The state of `user` after the rows `known`, which are those the model was trained on (for a user of
    /// the training part) or those known of a new user. Users without rows, or unknown to the model, get the
    /// state that the model documents for new users.
    fn start(&self, user: u32, known: History<'_>) -> Self::State;

    /// Adds one interaction of this user at `timestamp` (Unix seconds) to the state. Weights never change. A
    /// value that is not known is NaN, for models that do not predict ratings.
    fn update(&self, state: &mut Self::State, item: u32, value: f32, timestamp: i64);

    /// The expected rating of `item` at `timestamp` (Unix seconds). An item without training rows, or out of
    /// range, gets the model's documented fallback. NaN for a model that does not predict ratings.
    fn predict(&self, state: &Self::State, item: u32, timestamp: i64) -> f32 {
        let _ = (state, item, timestamp);
        f32::NAN
    }

    /// The variance of the rating of `item` at `timestamp` about what is expected: of the noise and of what
    /// is not known of the user, in squared units of the ratings; `None` for a model that does not know it.
    fn variance(&self, state: &Self::State, item: u32, timestamp: i64) -> Option<f32> {
        let _ = (state, item, timestamp);
        None
    }

    /// Writes a score for each item, from item 0 on: the higher, the sooner the user is expected to take it
    /// at `timestamp` (Unix seconds). The model defines the meaning of a score; by default it is the expected
    /// rating. Scores depend on no interaction at or after `timestamp`, only on the time itself.
    fn scores(&self, state: &Self::State, timestamp: i64, out: &mut [f32]) {
        scores_by_rating(self, state, timestamp, out);
    }

    /// Predicts the rows `asked` of one user, in time order, into `out` (one rating per row).
    fn predict_user(
        &self,
        user: u32,
        known: History<'_>,
        asked: History<'_>,
        reading: Reading,
        out: &mut [f32],
    ) {
        predict_rows(self, self.start(user, known), asked, reading, out);
    }

    /// The scores as inner products, if they are such: used to rank many users at once.
    fn inner_products(&self) -> Option<InnerProducts<'_>> {
        None
    }

    /// A state as bytes; [`crate::state::to_bytes`] does it for a state that is [`serde::Serialize`].
    fn write_state(&self, state: &Self::State) -> Vec<u8>;

    /// A state from [`write_state`](Self::write_state)'s bytes; `None` if they are of a model of another
    /// shape. [`crate::state::from_bytes`] reads it; the model must check sizes.
    fn read_state(&self, bytes: &[u8]) -> Option<Self::State>;
}

/// Scores by expected rating.
pub(crate) fn scores_by_rating<M: Predictor + ?Sized>(
    model: &M,
    state: &M::State,
    timestamp: i64,
    out: &mut [f32],
) {
    out.iter_mut().enumerate().for_each(|(item, out)| *out = model.predict(state, item as u32, timestamp));
}

/// A trained model of any type. Every [`Predictor`] is one.
pub trait Trained: Send + Sync {
    /// The settings it was trained with.
    fn settings(&self) -> ModelSettings;

    /// Number of trained parameters.
    fn parameters(&self) -> usize;

    /// All weights, by name.
    fn tensors(&self) -> Vec<NamedTensor>;

    /// The model as a rating model, if it predicts ratings.
    fn as_rating(&self) -> Option<&dyn RatingModel>;

    /// The model as a recommender, if it was trained to rank items.
    fn as_recommender(&self) -> Option<&dyn Recommender>;

    /// The state of `user` after the rows `known`: as [`Predictor::start`].
    fn start(&self, user: u32, known: History<'_>) -> UserState;

    /// Adds one interaction to a state: as [`Predictor::update`].
    ///
    /// # Panics
    /// Where the state is of a model of another kind.
    fn update(&self, state: &mut UserState, item: u32, value: f32, timestamp: i64);

    /// A score for each item from item 0 on: by the model's training objective, or by expected rating.
    ///
    /// # Panics
    /// Where the state is of a model of another kind.
    fn scores(&self, state: &UserState, timestamp: i64, out: &mut [f32]);

    /// A state as bytes, with the format's version and the model's name.
    ///
    /// # Panics
    /// Where the state is of a model of another kind.
    fn state_to_bytes(&self, state: &UserState) -> Vec<u8>;

    /// A state from [`state_to_bytes`](Self::state_to_bytes)'s bytes. It continues as the state it was made
    /// of, if the model has the same weights.
    ///
    /// # Errors
    /// [`ModelError::State`] for bytes of another format or version, of another kind of model, of a model of
    /// another shape, or cut short.
    fn state_from_bytes(&self, bytes: &[u8]) -> Result<UserState>;
}

/// A trained model of any type, owned.
pub type BoxedModel = Box<dyn Trained>;

impl<M: Predictor> Trained for M {
    fn settings(&self) -> ModelSettings {
        Predictor::settings(self)
    }

    fn parameters(&self) -> usize {
        Predictor::parameters(self)
    }

    fn tensors(&self) -> Vec<NamedTensor> {
        Predictor::tensors(self)
    }

    fn as_rating(&self) -> Option<&dyn RatingModel> {
        self.rates().then_some(self)
    }

    fn as_recommender(&self) -> Option<&dyn Recommender> {
        self.ranks().then_some(self)
    }

    fn start(&self, user: u32, known: History<'_>) -> UserState {
        // A rating model learns nothing from a row without rating.
        if self.rates() && known.values.iter().any(|value| value.is_nan()) {
            return UserState::new(Predictor::start(self, user, rated(known).user(0)));
        }
        UserState::new(Predictor::start(self, user, known))
    }

    fn update(&self, state: &mut UserState, item: u32, value: f32, timestamp: i64) {
        if !(self.rates() && value.is_nan()) {
            Predictor::update(self, state.get_mut(), item, value, timestamp);
        }
    }

    fn scores(&self, state: &UserState, timestamp: i64, out: &mut [f32]) {
        Predictor::scores(self, state.get(), timestamp, out);
    }

    fn state_to_bytes(&self, state: &UserState) -> Vec<u8> {
        let mut bytes = crate::state::header(Predictor::settings(self).kind().name());
        bytes.extend(self.write_state(state.get()));
        bytes
    }

    fn state_from_bytes(&self, bytes: &[u8]) -> Result<UserState> {
        let body = crate::state::body(Predictor::settings(self).kind().name(), bytes)?;
        let state = self.read_state(body).ok_or_else(|| {
            ModelError::State("is of a model of another shape, or cut short; start the user again".into())
        })?;
        Ok(UserState::new(state))
    }
}

/// The rows with a rating, as the history of user 0.
fn rated(known: History<'_>) -> Histories {
    let rows: Vec<usize> = (0..known.len()).filter(|row| !known.values[*row].is_nan()).collect();
    let items: Vec<u32> = rows.iter().map(|row| known.items[*row]).collect();
    let n_items = items.iter().max().map_or(0, |item| *item as usize + 1);
    let values: Vec<f32> = rows.iter().map(|row| known.values[*row]).collect();
    let timestamps: Vec<i64> = rows.iter().map(|row| known.timestamps.at(*row)).collect();
    let (values, timestamps): (Values, Timestamps) =
        (values.into_iter().collect(), timestamps.into_iter().collect());
    Histories::new(vec![0, rows.len()], items, values, timestamps, n_items)
}

impl dyn Trained + '_ {
    /// The model as a rating model.
    ///
    /// # Errors
    /// [`ModelError::Setting`] for a model that predicts none.
    pub fn ratings(&self) -> Result<&dyn RatingModel> {
        self.as_rating().ok_or_else(|| {
            let reason = "predicts no ratings; take a rating model, or compare lists".into();
            ModelError::Setting { model: self.settings().kind().name(), setting: "objective".into(), reason }
        })
    }
}

/// A trained model that predicts ratings.
pub trait RatingModel: Trained {
    /// The expected rating of `item`: as [`Predictor::predict`].
    ///
    /// # Panics
    /// Where the state is of a model of another kind.
    fn expected(&self, state: &UserState, item: u32, timestamp: i64) -> f32;

    /// The variance of the rating of `item`: as [`Predictor::variance`].
    ///
    /// # Panics
    /// Where the state is of a model of another kind.
    fn variance(&self, state: &UserState, item: u32, timestamp: i64) -> Option<f32>;

    /// Predicts the rows `asked` of one user: as [`Predictor::predict_user`].
    fn predict_user(
        &self,
        user: u32,
        known: History<'_>,
        asked: History<'_>,
        reading: Reading,
        out: &mut [f32],
    );
}

/// Predicts rows of one user, in time order, from the state before them.
pub(crate) fn predict_rows<M: Predictor + ?Sized>(
    model: &M,
    mut state: M::State,
    asked: History<'_>,
    reading: Reading,
    out: &mut [f32],
) {
    for (row, out) in out.iter_mut().enumerate() {
        *out = model.predict(&state, asked.items[row], asked.timestamps.at(row));
        // An update after the last row would have no effect.
        if reading == Reading::Streaming && row + 1 < asked.len() {
            model.update(&mut state, asked.items[row], asked.values[row], asked.timestamps.at(row));
        }
    }
}

impl<M: Predictor> RatingModel for M {
    fn expected(&self, state: &UserState, item: u32, timestamp: i64) -> f32 {
        Predictor::predict(self, state.get(), item, timestamp)
    }

    fn variance(&self, state: &UserState, item: u32, timestamp: i64) -> Option<f32> {
        Predictor::variance(self, state.get(), item, timestamp)
    }

    fn predict_user(
        &self,
        user: u32,
        known: History<'_>,
        asked: History<'_>,
        reading: Reading,
        out: &mut [f32],
    ) {
        Predictor::predict_user(self, user, known, asked, reading, out);
    }
}

impl dyn RatingModel + '_ {
    /// Predicts all rows of `asked`, given the rows `known` of the same users: one rating per row, in row
    /// order.
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
        users.into_par_iter().for_each(|(user, out)| {
            self.predict_user(user, known.user(user), asked.user(user), reading, out);
        });
        predictions
    }
}

/// A trained model that was trained to rank items.
pub trait Recommender: Trained {
    /// The scores as inner products, if they are such: used to rank many users at once.
    fn inner_products(&self) -> Option<InnerProducts<'_>>;
}

impl<M: Predictor> Recommender for M {
    fn inner_products(&self) -> Option<InnerProducts<'_>> {
        Predictor::inner_products(self)
    }
}

/// Checks the requirements of every rating model on its training part; returns the mean rating.
pub(crate) fn training_mean(model: &'static str, train: &Histories) -> Result<f32> {
    let fail = |reason: String| Err(ModelError::Training { model, reason });
    if let Some(row) = train.values().iter().position(|v| !v.is_finite()) {
        return fail(format!(
            "training row {row} has no rating; rating models need an event value in every row"
        ));
    }
    match train.mean() {
        Some(mean) => Ok(mean as f32),
        None => fail("there are no training rows".into()),
    }
}
