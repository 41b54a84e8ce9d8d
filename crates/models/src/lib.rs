#![doc = include_str!("../README.md")]
// Without burn there is one form alone.
#![cfg_attr(not(feature = "burn"), allow(irrefutable_let_patterns))]

pub mod autoencoder;
pub mod autorec;
pub mod biases;
mod checkpoint;
mod codes;
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
mod tensors;
pub mod tsvd;
#[cfg(feature = "burn")]
mod unrolled;
pub mod userknn;

pub use device::Device;
pub use error::{ModelError, Result};
pub use filter::{Allowed, Facts, Filter, FilterError};
pub use fit::{EpochReport, FitContext, Fitted, NoProgress, Progress};
pub use kind::{Kind, ModelSettings};
pub use model::{RatingModel, Reading, Trained, UserState};
pub use ranking::{InnerProducts, Query, RankingState, Recommender, mean_reciprocal_rank, rank_of, top_k};
pub use recommend::{Recommend, Recommended};
pub use saved::{SavedModel, load, save, weights_hash};
pub use tensors::NamedTensor;
