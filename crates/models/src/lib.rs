#![doc = include_str!("../README.md")]
// Without burn there is only one form.
#![cfg_attr(not(feature = "burn"), allow(irrefutable_let_patterns))]

mod algorithm;
pub mod autoencoder;
#[cfg(feature = "contract")]
pub mod contract;
mod engine;
pub mod ensemble;
mod error;
mod factorization;
mod fields;
mod filter;
mod fit;
mod kind;
mod model;
mod neighbours;
mod ranking;
mod recommend;
mod saved;
mod sequential;
mod simple;
pub mod state;

pub use autoencoder::{autorec, deeprec};
pub use factorization::{fm, ials, pmf, tsvd};
pub use fields::deepfm;
pub use neighbours::{ease, sessionknn, sims, userknn};
pub use sequential::{hrnn, hrnn_gru, rnn, rrn};
pub use simple::{biases, popularity, rolling_average};

pub use algorithm::{Algorithm, ModelSettings};
pub use engine::device::Device;
pub use engine::tensors::{NamedTensor, Tensors};
pub use error::{ModelError, Result, within};
pub use filter::{Allowed, Asked, Facts, Filter, FilterError, Subjects};
pub use fit::{EpochReport, FitContext, Fitted, NoProgress, Progress};
pub use kind::{Kind, register};
pub use model::{BoxedModel, Predictor, RatingModel, Reading, Recommender, Trained};
pub use ranking::{InnerProducts, Query, RowScorer, mean_reciprocal_rank, rank_of, top_k};
pub use recommend::{Recommend, Recommended};
pub use saved::{SavedModel, load, save, weights_hash};
pub use state::UserState;

/// A prelude for authors of models, without conflicting names: `use foretaste_models::prelude::*`.
/// Of [`Predictor`] and [`Trained`], which have methods of the same names, only the former is included.
pub mod prelude {
    pub use crate::state;
    pub use crate::{
        Algorithm, BoxedModel, FitContext, Fitted, ModelError, ModelSettings, NamedTensor, Predictor, Result,
        RowScorer, Tensors, within,
    };
}
