//! Sequential models, which use the order of histories.

pub mod hrnn;
pub mod hrnn_gru;
pub mod rnn;
pub mod rrn;
