//! Rating and ranking models behind one interface.
//!
//! [`ModelSettings`] names a model and its settings; [`ModelSettings::fit`] trains it on
//! [`foretaste_data::Histories`]; a [`RatingModel`] predicts, under both readings of a test part
//! ([`Reading`]); a [`Recommender`] ranks items ([`Recommend`] asks for the best). A [`Trained`] model is either
//! or both; rating models rank by expected rating. Models save to and load from a folder ([`save`], [`load`]).
//!
//! | model | source | streaming reading |
//! |---|---|---|
//! | [`rolling_average`] | the talk's baseline | the revealed rating enters the user's mean |
//! | [`biases`] | Koren 2010, baseline estimates | the user's bias is estimated anew |
//! | [`pmf`] | Salakhutdinov and Mnih 2008 | the user's factors take a Bayesian linear-regression step |
//! | [`tsvd`] | Koren 2009, timeSVD++ | the same, on the user's static factors |
//! | [`fm`] | Rendle 2012; ordered probit as in myFM | the same, in sixteen of the draws |
//! | [`autorec`] | Sedhain et al. 2015 | U: the rating joins the input; I: the user's output weights take a step |
//! | [`deeprec`] | Kuchaiev and Ginsburg 2017 | the rating joins the input |
//! | [`deepfm`] | Guo et al. 2017 | the user's part of the machine takes PMF's step; also ranks items |
//! | [`rrn`] | Wu et al. 2017 | the rating joins its time step; the stationary part takes PMF's step |
//! | [`rnn`] | a GRU or LSTM over the user's past | the revealed rating is the network's next input |
//! | [`hrnn`] | Ma and Narayanaswamy 2018; Quadrana et al. 2017 | the same, in constant time; also ranks next items |
//! | [`popularity`] | what everyone takes, lately, or the user again | ranks: the row joins the user's own |
//! | [`sims`] | the talk's item-to-item; Amazon Personalize's `aws-sims` | ranks: the row joins the history |
//! | [`userknn`] | Herlocker et al. 1999 | the same |
//! | [`sessionknn`] | VMIS-kNN, Kersbergen et al. 2022 | the same |
//! | [`ials`] | Hu, Koren and Volinsky 2008; Rendle et al. 2021 | ranks: the user's factors are solved anew |
//! | [`ease`] | Steck 2019 | ranks: the row joins the history |
//! | [`ensemble`] | Caruana et al. 2004 | the rating is revealed to every member |

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
pub mod hrnn;
pub mod ials;
mod kernels;
mod kind;
mod model;
mod noise;
mod optimizer;
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
