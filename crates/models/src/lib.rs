#![doc = include_str!("../README.md")]
// Without burn there is one form alone.
#![cfg_attr(not(feature = "burn"), allow(irrefutable_let_patterns))]

mod algorithm;
pub mod autoencoder;
pub mod autorec;
pub mod biases;
mod checkpoint;
mod codes;
#[cfg(feature = "contract")]
pub mod contract;
pub mod deepfm;
pub mod deeprec;
mod device;
pub mod ease;
pub mod ensemble;
mod epochs;
mod error;
mod filter;
mod fit;
pub mod fm;
mod fold_in;
mod host;
pub mod hrnn;
pub mod ials;
mod kernels;
mod kind;
mod model;
mod noise;
mod optimizer;
#[cfg(feature = "burn")]
mod parameter;
pub mod pmf;
pub mod popularity;
mod ranking;
mod recommend;
mod recurrent;
pub mod rnn;
pub mod rolling_average;
pub mod rrn;
mod saved;
mod sequence;
pub mod sessionknn;
pub mod sims;
pub mod state;
mod tensors;
pub mod tsvd;
#[cfg(feature = "burn")]
mod unrolled;
pub mod userknn;

pub use algorithm::{Algorithm, ModelSettings};
pub use device::Device;
pub use error::{ModelError, Result, within};
pub use filter::{Allowed, Facts, Filter, FilterError};
pub use fit::{EpochReport, FitContext, Fitted, NoProgress, Progress};
pub use kind::{Kind, register};
pub use model::{BoxedModel, Predictor, RatingModel, Reading, Recommender, Trained};
pub use ranking::{InnerProducts, Query, RowScorer, mean_reciprocal_rank, rank_of, top_k};
pub use recommend::{Recommend, Recommended};
pub use saved::{SavedModel, load, save, weights_hash};
pub use state::UserState;
pub use tensors::{NamedTensor, Tensors};

/// What the author of a model needs, and nothing that stands in the way: `use foretaste_models::author::*`. Of
/// [`Predictor`] and [`Trained`], which have methods of the same names, only the former is among it.
pub mod author {
    pub use crate::state;
    pub use crate::{
        Algorithm, BoxedModel, FitContext, Fitted, ModelError, ModelSettings, NamedTensor, Predictor, Result,
        RowScorer, Tensors, within,
    };
}
