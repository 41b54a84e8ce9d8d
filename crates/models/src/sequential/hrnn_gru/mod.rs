//! HRNN's first form: a recurrent network over a user's whole history, with sessions, time and ratings as
//! inputs.
//!
//! Session information enters through the inputs, so that histories of any shape align in one batch
//! (Ma and Narayanaswamy 2018, *Hierarchical Temporal-Contextual Recommenders*): marks say at which
//! levels of the hierarchy a session begins. For the interaction with item `i` and rating `r` at time `t`:
//!
//! ```text
//! w_t = [base, ln(1 + gap)/16, ln(1 + n)/8, e^(-n/8), session marks.., running residuals.., 1]
//! v_t = (r - base_t) / sigma                                 (residual of the stationary part)
//! x_t = [E_i, v E_i, v, max(-v, 0), w_t without the 1],   E_i = e_i + mean of its attributes' vectors
//! h_t = cell(.. cell(x_t))                              (depth layers of GRU, LSTM or causal convolution)
//! q_t = p_u + W_o (sigmoid(C w_t) * h_t-1) + W_c w_t         (a gate discounts the past by time)
//! r^_t = base_t + q_t . (F_i, 1)                             (F_i: factors, bias; attributes added)
//! ```
//!
//! `n` counts the user's interactions; `base_t` is the mean, or what the stationary machines predict
//! (`Stationary`). The last lines are the decoder, in the form of a factorization
//! machine. A user without history has the state 0 and falls back to the stationary part; an item
//! without training rows is its attributes.
//!
//! With `form = "init"` or `"all"` sessions have states of their own instead, a GRU a level (Quadrana et al.
//! 2017; the equations are `sequence::hierarchy`'s), and no marks.
//!
//! `size`, `depth` and `height` (levels of sessions; 0 is a flat RNN) are the talk's settings; `bptt`,
//! `recency_mask` (here: a half-life of an interaction's weight in the loss) and the history-length
//! percentiles are Amazon Personalize's, with its defaults.
//!
//! `objective` is what it is trained for: the next rating, given its item and time; the next item, given
//! its time; or both at once. Scores of next items come from the same gated state, with `base_t` at the mean:
//!
//! ```text
//! s_t,j = (W_n [sigmoid(C w_t) * h_t-1, w_t]) . (G_j, c_j)    (G_j: factors, c_j: bias; attributes added)
//! ```
//!
//! and the loss (`losses`) compares the next item with negatives sampled by popularity (`negatives`).
//!
//! `frozen` and `streaming`: the state runs through known ratings in time order and predicts each
//! requested rating from what is known *before* it; an update is the next input. One interaction
//! costs the same however long the history is.
//!
//! On the CPU training is native code (`native`), elsewhere burn (`network`); weights and
//! moments are the host's in both. Prediction evaluates the same equations one interaction at a time.

mod batch;
mod gradients;
mod inputs;
mod losses;
mod native;
mod negatives;
#[cfg(feature = "burn")]
mod network;
mod next;
mod noise;
mod replay;
mod settings;
mod stationary;
mod train;
mod weights;

use crate::engine::tensors::{NamedTensor, Tensors};
use crate::model::scores_by_rating;
use crate::{InnerProducts, ModelSettings, Predictor, Reading, Result, state};
use foretaste_data::History;
use inputs::{Scale, When};
use stationary::Machines;
use std::sync::{Arc, OnceLock};
use weights::{ITEM_NEXT, Sizes, Weights};

pub use crate::engine::recurrent::Cell;
pub use replay::User;
pub use settings::{Form, Loss, Objective, Scope, Settings, Stationary};
pub use train::fit;
pub(crate) use train::fit_as;

const NAME: &str = "hrnn-gru";

/// The objective of a window.
#[derive(Debug, Clone, Copy)]
struct Goal {
    /// The unit of a rating's residual.
    deviation: f32,
    loss: Loss,
    /// Weight of the negatives' squared scores (`bpr-max`).
    penalty: f32,
    /// Share of the rating's squared error in the loss: 1 if next items are not predicted.
    rating_share: f32,
}

impl Goal {
    fn new(settings: &Settings, scale: Scale) -> Self {
        let rating_share = match settings.objective {
            Objective::Rating => 1.0,
            Objective::NextItem => 0.0,
            Objective::Both => settings.rating_share,
        };
        Self {
            deviation: scale.deviation,
            loss: settings.loss,
            penalty: settings.score_penalty,
            rating_share,
        }
    }
}

/// Sums over a window's interactions.
#[derive(Debug, Clone, Copy, Default)]
struct Errors {
    /// Of the ratings' squared errors.
    squares: f64,
    /// Of the next items' losses.
    losses: f64,
}

/// A trained HRNN.
pub struct Model {
    /// The model's name: HRNN, or that of a model that is one of its forms.
    named: ModelSettings,
    scale: Scale,
    when: When,
    scope: Scope,
    weights: Weights,
    machines: Arc<Machines>,
    /// The items' rows for next items, attributes added; computed at first use.
    catalogue: OnceLock<Vec<f32>>,
}

impl Model {
    #[allow(clippy::needless_pass_by_value)] // As every model's.
    pub(crate) fn restore(settings: Settings, tensors: &Tensors) -> Result<Self> {
        Self::restore_as(settings.clone().into(), &settings, tensors)
    }

    /// A saved model that is one of the network's forms, with the name `named`.
    pub(crate) fn restore_as(named: ModelSettings, settings: &Settings, tensors: &Tensors) -> Result<Self> {
        let scale = Scale { mean: tensors.scalar("mean")?, deviation: tensors.scalar("deviation")? };
        let when = When::new(settings)?;
        let machines = Arc::new(Machines::restore(settings, tensors)?);
        let weights = Weights::restore(Sizes::new(settings, when.len()), tensors)?;
        Ok(Self::new(named, settings, (scale, when), weights, machines))
    }

    fn new(
        named: ModelSettings,
        settings: &Settings,
        (scale, when): (Scale, When),
        weights: Weights,
        machines: Arc<Machines>,
    ) -> Self {
        Self { named, scale, when, scope: settings.scope, weights, machines, catalogue: OnceLock::new() }
    }

    fn catalogue(&self) -> &[f32] {
        self.catalogue.get_or_init(|| self.weights.items(ITEM_NEXT))
    }
}

impl Predictor for Model {
    type State = User;

    fn settings(&self) -> ModelSettings {
        self.named.clone()
    }

    fn parameters(&self) -> usize {
        self.weights.parameters() + self.machines.parameters()
    }

    fn tensors(&self) -> Vec<NamedTensor> {
        let mut tensors = vec![
            NamedTensor::scalar("mean", self.scale.mean),
            NamedTensor::scalar("deviation", self.scale.deviation),
        ];
        tensors.extend(self.weights.tensors());
        tensors.extend(self.machines.tensors());
        tensors
    }

    fn rates(&self) -> bool {
        self.weights.sizes.rates
    }

    fn ranks(&self) -> bool {
        self.weights.sizes.ranks
    }

    fn start(&self, user: u32, known: History<'_>) -> User {
        User::start(self, user, known)
    }

    fn update(&self, user: &mut User, item: u32, value: f32, timestamp: i64) {
        user.update(self, item, value, timestamp);
    }

    fn predict(&self, user: &User, item: u32, timestamp: i64) -> f32 {
        user.predict(self, item, timestamp)
    }

    fn scores(&self, user: &User, timestamp: i64, out: &mut [f32]) {
        if self.ranks() {
            user.scores(self, timestamp, out);
        } else {
            scores_by_rating(self, user, timestamp, out);
        }
    }

    /// Goes through known rows and rows to predict in time order; known rows come first within a second.
    fn predict_user(
        &self,
        user: u32,
        known: History<'_>,
        asked: History<'_>,
        reading: Reading,
        out: &mut [f32],
    ) {
        let mut state = User::new(self, user);
        let mut next = 0;
        for (row, out) in out.iter_mut().enumerate() {
            while next < known.len() && known.timestamps.at(next) <= asked.timestamps.at(row) {
                state.update(self, known.items[next], known.values[next], known.timestamps.at(next));
                next += 1;
            }
            *out = state.predict(self, asked.items[row], asked.timestamps.at(row));
            if reading == Reading::Streaming {
                state.update(self, asked.items[row], asked.values[row], asked.timestamps.at(row));
            }
        }
    }

    fn inner_products(&self) -> Option<InnerProducts<'_>> {
        let query = |user: u32, known: History<'_>, timestamp: i64| {
            User::start(self, user, known).query(self, timestamp)
        };
        Some(InnerProducts {
            items: self.catalogue(),
            offsets: &[],
            scale: 0.0,
            width: self.weights.sizes.next(),
            query: Box::new(query),
        })
    }

    fn write_state(&self, user: &User) -> Vec<u8> {
        state::to_bytes(user)
    }

    fn read_state(&self, bytes: &[u8]) -> Option<User> {
        state::from_bytes(bytes).filter(|user: &User| user.fits(self))
    }
}

#[cfg(test)]
mod tests;
